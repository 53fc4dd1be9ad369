//! Limits, holds, charges, balances and rows agree, whatever happens: 10,000 random runs through the whole stack.

use std::{
    pin::pin,
    sync::Arc,
    time::{Duration, SystemTime},
};

use futures_util::{FutureExt, StreamExt};
use synapse_core::{
    Attached, CallerId, Date, InferenceModule, MetricsData, Micros, Output, RateLimitStatus,
    testkit::ManualClock,
};
use synapse_validator::{
    Quota, RateLimitLayer,
    billing::{PriceBook, SpendLimit, Terms},
    ledger::{Ledger, LedgerLayer, Payer, Query, Settings, Span, TopUp, query, rows},
};
use tempfile::TempDir;

use crate::{
    accounting_reference::{CAP, End, Live, Plan, REQUESTS, Reference, Started, TOKENS},
    accounting_stack::{CALLERS, Random, input, stack},
};

const LEDGERS: u64 = 100;
/// Each on a day of its own.
const RUNS: u64 = 100;
const DAY: Duration = Duration::from_secs(86_400);

/// What is there, and what there has to be.
struct World {
    reference: Reference,
    ledger: Ledger,
    layer: LedgerLayer,
    limit: RateLimitLayer,
    clock: Arc<ManualClock>,
    prices: String,
    version: u32,
    dir: TempDir,
}

impl World {
    fn new(start: Date) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(dir.path(), settings()).unwrap();
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(start.unix_seconds());
        let clock = Arc::new(ManualClock::at(time));
        let price = (1_000_000, 10_000_000);
        let prices = version(1, start, price);
        let layer = LedgerLayer::new(ledger.clone(), prices.parse().unwrap()).clock(clock.clone());
        let quota = Quota::requests_per_day(REQUESTS).and(Quota::tokens_per_day(TOKENS));
        Self {
            reference: Reference::new(price),
            ledger,
            layer,
            limit: RateLimitLayer::per_caller(quota).default_max_tokens(CAP),
            clock,
            prices,
            version: 1,
            dir,
        }
    }

    async fn next_day(&mut self, day: Date) {
        if day > self.reference.today && self.reference.today > Date::from_days(0) {
            self.clock.advance(DAY);
            tokio::time::advance(DAY).await;
        }
        self.reference.begin_day(day);
    }

    fn top_up(&mut self, random: &mut Random) {
        // Some of them twice.
        let number = random.below(200);
        let (caller, amount) = (["alice", "bob"][(number % 2) as usize], 500 + number * 7);
        let operation = format!("payment-{number}");
        let top_up = TopUp::new(operation.as_str().into(), 0, caller, Micros(amount));
        self.ledger.top_up(&top_up).unwrap();
        self.reference.top_up(&operation, caller, amount);
    }

    fn change_prices(&mut self, random: &mut Random) {
        let price = (1 + random.below(3_000_000), 1 + random.below(20_000_000));
        let next = format!(
            "{}\n{}",
            self.prices,
            version(self.version + 1, self.reference.today, price)
        );
        // A day has prices of its own, or none.
        let Ok(book) = next.parse::<PriceBook>() else {
            return;
        };
        self.layer.set_prices(book).unwrap();
        let tampered = version(1, Date::from_days(20_000), price).parse().unwrap();
        self.layer
            .set_prices(tampered)
            .expect_err("version 1 is in effect");
        (self.version, self.prices, self.reference.price) = (self.version + 1, next, price);
    }

    fn change_limits(&mut self, random: &mut Random) {
        let limit = random.of(&[None, Some(0), Some(2_000), Some(9_000)]);
        let mut spend_limit = SpendLimit::default();
        spend_limit.per_day = limit.map(Micros);
        self.layer.set_terms(Terms::default().spend_limit(spend_limit));
        self.reference.spend_per_day = limit;
    }

    /// Everything that is under way has ended, and everything agrees.
    fn check(&self) {
        let mut metrics = MetricsData::default();
        self.layer.metrics(&mut metrics);
        self.limit.metrics(&mut metrics);
        let metric = |name, labels: &[(&'static str, &str)]| {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "small numbers"
            )]
            let value = metrics.get(name, labels).expect(name) as u64;
            value
        };
        assert_eq!(metric("ledger.open", &[]), 0);
        assert_eq!(metric("ledger.held", &[]), 0);
        assert_eq!(self.reference.held(), 0);
        assert_eq!(metric("rate_limit.reservations", &[]), 0);
        for outcome in ["complete", "broken", "left", "failed"] {
            let rows = self.reference.rows.get(outcome).copied().unwrap_or(0);
            assert_eq!(metric("ledger.rows", &[("outcome", outcome)]), rows, "{outcome}");
        }
        let mut charged = 0;
        for caller in CALLERS {
            charged += self.check_balance(&self.ledger, caller);
            let who = Payer::Caller(caller.into());
            self.check_spent(&who, caller);
        }
        self.check_spent(&Payer::Key("alice-1".into()), "key alice-1");
        assert_eq!(metric("ledger.charged", &[]), charged);
    }

    fn check_balance(&self, ledger: &Ledger, caller: &str) -> u64 {
        let charged = self.reference.charged.get(caller).copied().unwrap_or(0);
        let account = ledger.account(&CallerId::from(caller));
        let account = account.map(|account| (account.paid_in.0, account.charged.0));
        let paid_in = self.reference.paid_in.get(caller);
        assert_eq!(account, paid_in.map(|paid_in| (*paid_in, charged)), "{caller}");
        charged
    }

    fn check_spent(&self, who: &Payer, payer: &str) {
        let at = self.reference.today.unix_seconds() * 1_000;
        for (span, whole_month) in [(Span::Day, false), (Span::Month, true)] {
            let spent = self.ledger.spent(who, span, at).0;
            assert_eq!(
                spent,
                self.reference.spent(payer, whole_month),
                "{payer}, {span:?}"
            );
        }
    }

    /// Each request has one closing row, and its rows say what its callers were charged, after a restart, too.
    fn check_restarted(self) {
        let Self {
            reference,
            ledger,
            layer,
            dir,
            limit,
            clock,
            prices,
            version,
        } = self;
        drop((ledger, layer));
        let ledger = Ledger::open(dir.path(), settings()).unwrap();
        assert_eq!(ledger.recovered().interrupted, 0);
        let again = Self {
            layer: LedgerLayer::new(ledger.clone(), PriceBook::free()),
            ledger,
            reference,
            dir,
            limit,
            clock,
            prices,
            version,
        };
        let mut charged = 0;
        for caller in CALLERS {
            charged += again.check_balance(&again.ledger, caller);
        }
        let mut count = 0;
        rows(again.dir.path(), &Query::default(), |row| {
            count += 1;
            assert!(row.ended.is_some() && row.charge <= row.hold, "{row:?}");
            true
        })
        .unwrap();
        assert_eq!(count, again.reference.rows.values().sum::<u64>());
        let totals = query(again.dir.path(), &Query::default()).unwrap().totals;
        assert_eq!(totals.charge.0, charged);
    }
}

/// Small, since each is read whole.
fn settings() -> Settings {
    Settings::default().segment_bytes(256 << 10)
}

fn version(number: u32, from: Date, (prompt, completion): (u64, u64)) -> String {
    let (prompt, completion) = (Micros(prompt), Micros(completion));
    format!(
        "[[version]]\nnumber = {number}\nfrom = {from}\nmodels.free.free = true\nmodels.sold = {{ prompt = \"{prompt}\", \
         completion = \"{completion}\" }}\n"
    )
}

/// A reply that is under way, and what it has to be.
struct Reply {
    plan: Plan,
    output: Output,
    live: Live,
    read: usize,
}

impl Reply {
    /// Reads one event; gives the reply back where it goes on.
    async fn read(mut self, reference: &mut Reference) -> Option<Self> {
        let next = self.output.body.next().await.expect("it has not ended");
        if let Some(tokens) = self.plan.events.get(self.read) {
            reference.read(&mut self.live, *tokens);
            next.expect("an event");
            self.read += 1;
            return Some(self);
        }
        match self.plan.end {
            End::Complete => {
                assert!(next.expect("the last event").is_last());
                reference.complete(self.live);
            }
            End::Breaks | End::Panics => {
                next.expect_err("it breaks off");
                reference.broken(self.live);
            }
        }
        None
    }
}

async fn start(module: &impl InferenceModule, world: &mut World, plan: Plan) -> Option<Reply> {
    let expected = world.reference.start(&plan);
    let answer = pin!(module.run_inference(input(&plan)));
    let answer = match expected {
        Started::Hangs => {
            assert!(answer.now_or_never().is_none(), "{plan:?}");
            return None;
        }
        Started::Refused(code) => {
            let error = answer.await.expect_err(code);
            assert_eq!(error.code(), code, "{plan:?}: {error}");
            return None;
        }
        Started::Answered(live) => (answer.await, live),
    };
    let (Ok(output), live) = answer else {
        panic!("{plan:?} was refused: {:?}", answer.0);
    };
    let status = output
        .head
        .extensions()
        .get::<RateLimitStatus>()
        .expect("a status");
    let left = (
        status.requests.unwrap().remaining(),
        status.tokens.unwrap().remaining(),
    );
    assert_eq!(left, world.reference.left(plan.caller), "{plan:?}");
    Some(Reply {
        plan,
        output,
        live,
        read: 0,
    })
}

/// One run: a day on which some things happen, and at whose end everything is over.
async fn run(module: &impl InferenceModule, world: &mut World, random: &mut Random) {
    let mut replies: Vec<Reply> = Vec::new();
    for _ in 0..2 + random.below(12) {
        let place = usize::try_from(random.below(replies.len().max(1) as u64)).unwrap();
        match random.below(20) {
            0 => world.top_up(random),
            1 if random.one_in(3) => world.change_prices(random),
            2 => world.change_limits(random),
            3 if !replies.is_empty() => {
                let reply = replies.swap_remove(place);
                drop(reply.output);
                world.reference.dropped(reply.live);
            }
            4..10 if !replies.is_empty() => {
                let reply = replies.swap_remove(place);
                replies.extend(reply.read(&mut world.reference).await);
            }
            _ => replies.extend(start(module, world, random.plan()).await),
        }
    }
    for mut reply in replies {
        if random.one_in(3) {
            drop(reply.output);
            world.reference.dropped(reply.live);
            continue;
        }
        while let Some(more) = reply.read(&mut world.reference).await {
            reply = more;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn reservations_holds_charges_balances_and_rows_agree() {
    for number in 0..LEDGERS {
        let mut random = Random(number);
        let first = Date::from_days(20_454 + u32::try_from(number).unwrap());
        let mut world = World::new(first);
        let module = stack(world.limit.clone(), world.layer.clone());
        let mut day = first;
        for _ in 0..RUNS {
            world.next_day(day).await;
            run(&module, &mut world, &mut random).await;
            world.check();
            day = day.next();
        }
        drop(module);
        let rows = world.reference.rows.clone();
        world.check_restarted();
        for outcome in ["complete", "broken", "left", "failed"] {
            assert!(rows[outcome] > RUNS / 20, "{rows:?}: too few to say anything");
        }
    }
}
