//! What each sum of the accounting has to be, worked out beside it.

use std::collections::{BTreeMap, BTreeSet};

use synapse_core::{Date, Micros};

/// What a caller may ask for a day.
pub(crate) const REQUESTS: u64 = 12;
pub(crate) const TOKENS: u64 = 900;
/// What a reply may have where the request does not say.
pub(crate) const CAP: u32 = 50;
/// What may be spent with alice's key.
pub(crate) const KEY_PER_DAY: Micros = Micros(6_000);
pub(crate) const KEY_PER_MONTH: Micros = Micros(40_000);
/// Attempts of the layer that tries again.
pub(crate) const ATTEMPTS: u32 = 3;

/// What a request is to meet.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) caller: &'static str,
    pub(crate) model: &'static str,
    /// Its tokens, of one character each.
    pub(crate) prompt: usize,
    pub(crate) replies: u32,
    pub(crate) max_tokens: Option<u32>,
    /// Its client reads it as it comes, and otherwise has nothing before the end.
    pub(crate) streamed: bool,
    /// A layer outside of the ledger makes it twice, and drops one.
    pub(crate) twice: bool,
    pub(crate) miner: Miner,
    /// Tokens of each event; one of none is a role.
    pub(crate) events: Vec<usize>,
    pub(crate) end: End,
    /// What the miner claims beside what it sends, in per cent.
    pub(crate) claims: Option<u64>,
}

/// What a miner does before its head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Miner {
    /// Answers after so many attempts that failed.
    Answers(u32),
    Refuses,
    Hangs,
    Panics,
    /// Not the miner, but a layer around it.
    LayerPanics,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Complete,
    Breaks,
    Panics,
}

/// What becomes of a request.
#[derive(Debug)]
pub(crate) enum Started {
    Refused(&'static str),
    /// Whoever waits for it has to leave.
    Hangs,
    Answered(Live),
}

/// A reply that is under way.
#[derive(Debug)]
pub(crate) struct Live {
    caller: &'static str,
    entry: Entry,
    /// Tokens that the rate limit reserved.
    reserved: u64,
    delivered: u64,
    content: bool,
    streamed: bool,
}

/// A request in the ledger.
#[derive(Debug)]
struct Entry {
    payers: Vec<String>,
    price: (u64, u64),
    prompt: u64,
    most: u64,
    held: u64,
}

#[derive(Debug)]
pub(crate) struct Reference {
    pub(crate) today: Date,
    pub(crate) paid_in: BTreeMap<&'static str, u64>,
    payments: BTreeSet<String>,
    /// By payer.
    pub(crate) charged: BTreeMap<String, u64>,
    spent: BTreeMap<(String, Date), u64>,
    held: BTreeMap<String, u64>,
    /// Requests and tokens of today.
    used: BTreeMap<&'static str, (u64, u64)>,
    pub(crate) rows: BTreeMap<&'static str, u64>,
    /// Of a million tokens of prompts and of replies, in millionths.
    pub(crate) price: (u64, u64),
    pub(crate) spend_per_day: Option<u64>,
}

impl Reference {
    pub(crate) fn new(price: (u64, u64)) -> Self {
        Self {
            today: Date::from_days(0),
            paid_in: BTreeMap::new(),
            payments: BTreeSet::new(),
            charged: BTreeMap::new(),
            spent: BTreeMap::new(),
            held: BTreeMap::new(),
            used: BTreeMap::new(),
            rows: BTreeMap::new(),
            price,
            spend_per_day: None,
        }
    }

    pub(crate) fn begin_day(&mut self, day: Date) {
        assert!(self.held.is_empty(), "{:?}", self.held);
        self.today = day;
        self.used.clear();
    }

    pub(crate) fn top_up(&mut self, operation: &str, caller: &'static str, amount: u64) {
        if self.payments.insert(operation.to_owned()) {
            *self.paid_in.entry(caller).or_default() += amount;
        }
    }

    /// What is left of the caller's windows.
    pub(crate) fn left(&self, caller: &str) -> (u64, u64) {
        let (requests, tokens) = self.used.get(caller).copied().unwrap_or_default();
        (REQUESTS - requests, TOKENS - tokens)
    }

    /// What was charged today, or in all of the month.
    pub(crate) fn spent(&self, payer: &str, whole_month: bool) -> u64 {
        let first = if whole_month {
            self.today.first_of_month()
        } else {
            self.today
        };
        let days = (payer.to_owned(), first)..=(payer.to_owned(), self.today);
        self.spent.range(days).map(|(_, spent)| spent).sum()
    }

    pub(crate) fn held(&self) -> u64 {
        let keys = |payer: &str| payer.starts_with("key ");
        self.held
            .iter()
            .filter(|(payer, _)| !keys(payer))
            .map(|(_, held)| held)
            .sum()
    }

    /// Through the rate limit, and what is inside it.
    pub(crate) fn start(&mut self, plan: &Plan) -> Started {
        let prompt = plan.prompt as u64;
        let most = u64::from(plan.max_tokens.unwrap_or(CAP)) * u64::from(plan.replies);
        let (requests, tokens) = self.left(plan.caller);
        if prompt + most > TOKENS {
            return Started::Refused("request_exceeds_quota");
        }
        if requests < 1 || tokens < prompt + most {
            return Started::Refused("rate_limited");
        }
        let (requests, tokens) = self.used.entry(plan.caller).or_default();
        (*requests, *tokens) = (*requests + 1, *tokens + prompt + most);
        let started = self.pass_once_or_twice(plan, most);
        let back = match &started {
            Started::Answered(_) => (0, 0),
            Started::Hangs => (0, most),
            // Nobody but the caller is to blame for anything else.
            Started::Refused("scripted" | "module_panicked") => (1, prompt + most),
            Started::Refused(_) => (0, prompt + most),
        };
        self.give_back(plan.caller, back);
        started
    }

    pub(crate) fn read(&mut self, live: &mut Live, tokens: usize) {
        live.delivered += tokens as u64;
        live.content |= tokens > 0;
    }

    /// Its last event, too.
    pub(crate) fn complete(&mut self, mut live: Live) {
        live.content = true;
        self.over(live, "complete");
    }

    pub(crate) fn broken(&mut self, live: Live) {
        let outcome = if live.content { "broken" } else { "failed" };
        self.over(live, outcome);
    }

    pub(crate) fn dropped(&mut self, live: Live) {
        self.over(live, "left");
    }

    fn over(&mut self, live: Live, outcome: &'static str) {
        let Live {
            caller,
            entry,
            reserved,
            delivered,
            content,
            streamed,
        } = live;
        let handed_on = content && (streamed || outcome == "complete");
        let used = (entry.prompt + delivered).min(reserved);
        self.give_back(caller, (0, reserved - used));
        let exact = entry.prompt * entry.price.0 + delivered.min(entry.most) * entry.price.1;
        let charge = if handed_on { exact.div_ceil(1_000_000) } else { 0 };
        self.close(&entry, charge, outcome);
    }

    fn give_back(&mut self, caller: &'static str, (requests, tokens): (u64, u64)) {
        let used = self.used.entry(caller).or_default();
        *used = (used.0 - requests, used.1 - tokens);
    }

    /// Through the layer that makes some requests twice.
    fn pass_once_or_twice(&mut self, plan: &Plan, most: u64) -> Started {
        let mut begun = Vec::new();
        let mut refused = None;
        for _ in 0..=u32::from(plan.twice) {
            match (self.begin(plan, most), plan.miner) {
                (Err(code), _) => refused = Some(code),
                (Ok(entry), Miner::Answers(failures)) if failures >= ATTEMPTS => {
                    self.close(&entry, 0, "failed");
                    refused = Some("scripted");
                }
                (Ok(entry), Miner::Refuses) => {
                    self.close(&entry, 0, "failed");
                    refused = Some("scripted_refusal");
                }
                (Ok(entry), Miner::Panics) => {
                    self.close(&entry, 0, "failed");
                    refused = Some("module_panicked");
                }
                (Ok(entry), Miner::LayerPanics) => {
                    self.close(&entry, 0, "failed");
                    return Started::Refused("module_panicked");
                }
                (Ok(entry), Miner::Answers(_) | Miner::Hangs) => begun.push(entry),
            }
        }
        let hangs = plan.miner == Miner::Hangs && !begun.is_empty();
        // Of two the first is kept; whoever waits for one that hangs gives both up.
        for entry in begun.drain(usize::from(!hangs).min(begun.len())..) {
            self.close(&entry, 0, "left");
        }
        match (begun.pop(), refused) {
            _ if hangs => Started::Hangs,
            (Some(entry), _) => Started::Answered(Live {
                caller: plan.caller,
                reserved: entry.prompt + most,
                entry,
                delivered: 0,
                content: false,
                streamed: plan.streamed,
            }),
            (None, code) => Started::Refused(code.expect("what is not begun was refused")),
        }
    }

    /// Through the ledger's door.
    fn begin(&mut self, plan: &Plan, most: u64) -> Result<Entry, &'static str> {
        let price = match plan.model {
            "sold" => self.price,
            "free" => (0, 0),
            _ => return Err("model_not_priced"),
        };
        let prompt = plan.prompt as u64;
        let held = (prompt * price.0 + most * price.1).div_ceil(1_000_000);
        let mut payers = vec![plan.caller.to_owned()];
        if plan.caller == "alice" {
            payers.push("key alice-1".to_owned());
        }
        if held > 0 {
            self.check(plan.caller, &payers, held)?;
            for payer in &payers {
                *self.held.entry(payer.clone()).or_default() += held;
            }
        }
        Ok(Entry {
            payers,
            price,
            prompt,
            most,
            held,
        })
    }

    fn check(&self, caller: &str, payers: &[String], amount: u64) -> Result<(), &'static str> {
        let held = |payer: &str| self.held.get(payer).copied().unwrap_or(0);
        if let Some(paid_in) = self.paid_in.get(caller) {
            let charged = self.charged.get(caller).copied().unwrap_or(0);
            if amount + held(caller) > paid_in.saturating_sub(charged) {
                return Err("insufficient_balance");
            }
        }
        let mut limits = vec![(&payers[0], self.spend_per_day, false)];
        if let Some(key) = payers.get(1) {
            limits.push((key, Some(KEY_PER_DAY.0), false));
            limits.push((key, Some(KEY_PER_MONTH.0), true));
        }
        for (payer, limit, month) in limits {
            let Some(limit) = limit else { continue };
            if amount > limit {
                return Err("request_exceeds_spend_limit");
            }
            if amount + held(payer) + self.spent(payer, month) > limit {
                return Err("spend_limit_reached");
            }
        }
        Ok(())
    }

    fn close(&mut self, entry: &Entry, charge: u64, outcome: &'static str) {
        assert!(charge <= entry.held, "a charge is never more than its hold");
        for payer in &entry.payers {
            if entry.held > 0 {
                let held = self.held.get_mut(payer).expect("it was held");
                *held -= entry.held;
                if *held == 0 {
                    self.held.remove(payer);
                }
            }
            *self.charged.entry(payer.clone()).or_default() += charge;
            *self.spent.entry((payer.clone(), self.today)).or_default() += charge;
        }
        *self.rows.entry(outcome).or_default() += 1;
    }
}
