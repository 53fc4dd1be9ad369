//! The whole gateway, with everything that bills and limits, and those who ask it.

use std::{
    collections::HashMap,
    fmt::Write as _,
    net::IpAddr,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use serde_json::json;
use subnet_tests::{Gateway, Serving, send, serve, serve_with};
use synapse_core::{
    Allowance, Attached, CallerId, ClientIp, Input, MetricsData, Micros, ModuleExt, OperationId, from_fn,
    layers::DeadlineLayer, testkit::ManualClock,
};
use synapse_http::{
    Api,
    api_keys::{ApiKeyStore, ApiKeysLayer, NewApiKey},
    proxies::TrustedProxies,
};
use synapse_validator::{
    Quota, RateLimitLayer, TokenCountLayer, Tokenizers, TraceLayer,
    billing::{Price, PriceBook, Terms, Unpaid},
    ledger::{Ledger, LedgerLayer, Query, Row, Settings, TopUp, rows},
    pool::ServedLayer,
    rate_limit::Limits,
    token_count::OpenAiVocabulary,
};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};
use tower::ServiceBuilder;

use crate::{
    bad_input::{self, MOST_BYTES},
    bad_input_sent::{Answer, CHAT, Door, Holder, MODELS, Sent, UNSOLD, chat, exchange, post},
};

/// What is paid in for who is not poor: enough for all that is answered.
const PAID_IN: Micros = Micros(1_500_000);
/// Requests that a caller has a day, and tokens that a key has a day of UTC.
const REQUESTS: u64 = 1_000;
const TOKENS: u64 = 1_500_000;
/// Seconds after which one of the requests is there again.
const EACH_REQUEST: f64 = 86.4;
/// Tokens of a small request and its reply.
pub(crate) const SMALL: u64 = 10;
/// A model that has a price, and that nobody serves.
const GHOST: &str = "ghost";

/// A millionth a token of a prompt, and ten a token of a reply.
pub(crate) fn price() -> Price {
    Price::per_million(Micros(1_000_000), Micros(10_000_000))
}

/// The whole gateway, as examples/validator puts it together, behind three doors.
pub(crate) struct World {
    folder: TempDir,
    keys: ApiKeyStore,
    limit: RateLimitLayer,
    pub(crate) ledger: LedgerLayer,
    /// The address that the limits saw last.
    pub(crate) seen: Arc<Mutex<Option<IpAddr>>>,
    doors: [Serving; 3],
    gateway: Gateway,
}

/// A caller with a key and a balance.
pub(crate) struct Account {
    pub(crate) caller: CallerId,
    /// What it sends as its authorization.
    pub(crate) shown: Vec<String>,
    /// The model that it may ask for; none where its key is no good.
    pub(crate) model: Option<&'static str>,
    /// What it has taken of its limits.
    used: Used,
}

/// What is taken of limits.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Used {
    pub(crate) requests: f64,
    pub(crate) tokens: u64,
}

/// What is in the books.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Books {
    pub(crate) balance: Option<Micros>,
    pub(crate) charged: f64,
    pub(crate) rows: f64,
}

impl World {
    pub(crate) async fn new(of_each_address: Quota) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let gateway = Gateway::over(vec![
            serve(synapse_http::router(bad_input::miner())).await.unwrap(),
        ])
        .await
        .unwrap();
        let mut prices = "[[version]]\nnumber = 1\nfrom = 2026-01-01\n".to_owned();
        let sold = || MODELS.into_iter().filter(|model| *model != UNSOLD).chain([GHOST]);
        for model in sold() {
            writeln!(
                prices,
                "[version.models.{model}]\nprompt = \"1\"\ncompletion = \"10\""
            )
            .unwrap();
        }
        let prices: PriceBook = prices.parse().unwrap();
        let tokenizers = sold().fold(Tokenizers::new(), |tokenizers, model| {
            tokenizers.with_openai(model, OpenAiVocabulary::O200kBase)
        });
        // Who does not wait long enough for them is told an estimate.
        tokenizers.load().await.unwrap();
        let (trace, count) = (TraceLayer::new(), TokenCountLayer::new(tokenizers));
        // No day ends while this runs.
        let noon = || ManualClock::at(SystemTime::UNIX_EPOCH + Duration::from_secs(1_794_744_000));
        let limit = RateLimitLayer::new(
            Limits::per_caller(Quota::requests_per_day(REQUESTS)).per_address(of_each_address),
        )
        .clock(noon());
        let directory = folder.path().join("ledger");
        // Each look at its rows reads all of it.
        let ledger = Ledger::open(&directory, Settings::default().segment_bytes(1 << 20)).unwrap();
        let ledger = LedgerLayer::new(ledger, PriceBook::free())
            .clock(Arc::new(noon()))
            .noting_prices(directory.join("prices.toml"), prices)
            .unwrap()
            .terms(Terms::default().unpaid(Unpaid::Refuse));
        let seen = Arc::new(Mutex::new(None));
        let sees = seen.clone();
        let stack = gateway
            .pool()
            .with(
                ServiceBuilder::new()
                    .layer(from_fn(move |input: Input, next| {
                        *sees.lock().unwrap() = input.extensions().get().map(|ClientIp(address)| *address);
                        async move { next.run(input).await }
                    }))
                    .layer(trace.clone())
                    .layer(count.clone())
                    .layer(limit.clone())
                    .layer(ServedLayer::new(gateway.pool()))
                    .layer(ledger.clone())
                    .layer(DeadlineLayer::new(Duration::from_secs(5))),
            )
            .attach(trace)
            .attach(count)
            .attach(limit.clone())
            .attach(ledger.clone());
        let stack = Arc::new(stack);
        let keys = ApiKeyStore::open(folder.path().join("api-keys")).unwrap();
        let asks = ApiKeysLayer::open(keys.directory()).unwrap();
        let api = |proxies: &str| {
            Api::builder(stack.clone())
                .max_body_bytes(MOST_BYTES)
                .build()
                .trusted_proxies(TrustedProxies::new([proxies.parse().unwrap()]))
                .layer(asks.clone())
        };
        let doors = [
            serve(api("192.0.2.0/24")).await.unwrap(),
            serve(api("127.0.0.0/8")).await.unwrap(),
            serve_with(api("192.0.2.0/24"), |server| {
                server.body_timeout(Duration::from_millis(300))
            })
            .await
            .unwrap(),
        ];
        Self {
            folder,
            keys,
            limit,
            ledger,
            seen,
            doors,
            gateway,
        }
    }

    /// Makes a caller of this name, as `holder` has it.
    pub(crate) fn account(&self, name: &str, holder: &Holder) -> Account {
        let mut allowance = Allowance::default();
        allowance.tokens_per_day = Some(TOKENS);
        let (mut paid, mut model) = (PAID_IN, Some("good"));
        let mut new = NewApiKey::for_caller(name);
        let mut store = self.keys.clone();
        match holder {
            Holder::Plain | Holder::Showing(_) => {}
            Holder::Poor(balance) => paid = *balance,
            Holder::Tokens(tokens) => allowance.tokens_per_day = Some(*tokens),
            Holder::SpendADay(amount) => allowance.spend_per_day = Some(*amount),
            Holder::SpendAMonth(amount) => allowance.spend_per_month = Some(*amount),
            Holder::OfModel(only) => {
                new = new.models([*only]);
                model = Some(only);
            }
            Holder::Expired => {
                let then = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
                store = store.clock(Arc::new(ManualClock::at(then)));
                new = new.expires(then + Duration::from_secs(60));
                model = None;
            }
            Holder::Revoked => model = None,
        }
        let (key, secret) = store.create(new.allowance(allowance)).unwrap();
        if let Holder::Revoked = holder {
            store.revoke(key.id()).unwrap();
        }
        let top_up = TopUp::new(OperationId::from(format!("for-{name}")), 0, name, paid);
        self.ledger.ledger().top_up(&top_up).unwrap();
        Account {
            caller: name.into(),
            shown: vec![format!("Bearer {}", secret.reveal())],
            model,
            used: Used::default(),
        }
    }

    pub(crate) async fn send(&self, door: Door, shown: &[String], sent: Sent) -> Answer {
        let address = self.doors[door as usize].address();
        match sent {
            Sent::Request(mut request) => {
                for line in shown {
                    request
                        .headers_mut()
                        .append("authorization", line.parse().unwrap());
                }
                let reply = send(address, *request).await.unwrap();
                Answer {
                    status: Some(reply.status.as_u16()),
                    headers: reply.headers,
                    body: reply.body,
                }
            }
            Sent::Bytes { bytes, then } => exchange(address, &signed(&bytes, shown), then).await,
        }
    }

    /// Sends a small request that is in order, with this account's key; what others took of its limits since the last one.
    pub(crate) async fn ask(&self, account: &mut Account, model: &str) -> Used {
        let body = chat(&json!({"model": model, "max_tokens": 1}));
        let request = Sent::request(post(CHAT, &[], body));
        let answer = self.send(Door::Plain, &account.shown, request).await;
        assert_eq!(answer.status, Some(200), "{}: {answer:?}", account.caller);
        let read = |name: &str| answer.headers[name].to_str().unwrap();
        let number = |name: &str| -> u64 { read(name).parse().unwrap() };
        let earlier = account.used;
        account.used = Used {
            requests: lasts(read("x-ratelimit-reset-requests")) / EACH_REQUEST,
            tokens: number("x-ratelimit-limit-tokens") - number("x-ratelimit-remaining-tokens"),
        };
        Used {
            // Since then a little was refilled. No zero is negative.
            requests: (account.used.requests - earlier.requests - 1.0).round() + 0.0,
            tokens: account.used.tokens - earlier.tokens - SMALL,
        }
    }

    pub(crate) fn metric(&self, name: &'static str) -> f64 {
        let mut metrics = MetricsData::default();
        self.ledger.metrics(&mut metrics);
        self.limit.metrics(&mut metrics);
        metrics.get(name, &[]).unwrap()
    }

    pub(crate) fn books(&self, account: &Account) -> Books {
        let mut metrics = MetricsData::default();
        self.ledger.metrics(&mut metrics);
        let rows = ["complete", "broken", "left", "failed"];
        Books {
            balance: self.ledger.ledger().balance(&account.caller),
            charged: self.metric("ledger.charged"),
            rows: rows
                .iter()
                .map(|outcome| metrics.get("ledger.rows", &[("outcome", outcome)]).unwrap())
                .sum(),
        }
    }

    /// Waits until nothing goes on and nothing is reserved, and checks that nothing is held then.
    pub(crate) async fn settled(&self, name: &str) {
        let until = Instant::now() + Duration::from_secs(20);
        while self.metric("ledger.open") + self.metric("rate_limit.reservations") > 0.0 {
            assert!(Instant::now() < until, "{name} does not end");
            sleep(Duration::from_millis(2)).await;
        }
        assert!(self.metric("ledger.held") == 0.0, "{name} still holds something");
    }

    /// Where the ledger is.
    pub(crate) fn directory(&self) -> PathBuf {
        self.folder.path().join("ledger")
    }

    /// The rows of this account, in the order in which they ended.
    pub(crate) fn rows(&self, account: &Account) -> Vec<Row> {
        let (mut query, mut found) = (Query::default(), Vec::new());
        query.caller = Some(account.caller.clone());
        rows(self.directory(), &query, |row| {
            found.push(row);
            true
        })
        .unwrap();
        found
    }

    pub(crate) async fn stop(self) {
        for door in self.doors {
            door.stop().await.unwrap();
        }
        self.gateway.stop().await.unwrap();
    }
}

/// A length of time as the headers have it, such as `1h0m2.5s` or `20ms`, in seconds.
fn lasts(written: &str) -> f64 {
    if let Some(millis) = written.strip_suffix("ms") {
        return millis.parse::<f64>().unwrap() / 1_000.0;
    }
    let units = written.split_inclusive(['h', 'm', 's']).map(|part| {
        let (number, unit) = part.split_at(part.len() - 1);
        let seconds = HashMap::from([("h", 3_600.0), ("m", 60.0), ("s", 1.0)])[unit];
        number.parse::<f64>().unwrap() * seconds
    });
    units.sum()
}

#[expect(clippy::cast_precision_loss, reason = "small numbers")]
pub(crate) fn float(number: u64) -> f64 {
    number as f64
}

/// The same bytes, which show `lines` as their authorization.
fn signed(bytes: &[u8], lines: &[String]) -> Vec<u8> {
    let first = bytes
        .windows(2)
        .position(|two| two == b"\r\n")
        .map_or(bytes.len(), |at| at + 2);
    let mut signed = bytes[..first].to_vec();
    for line in lines {
        signed.extend_from_slice(format!("authorization: {line}\r\n").as_bytes());
    }
    signed.extend_from_slice(&bytes[first..]);
    signed
}
