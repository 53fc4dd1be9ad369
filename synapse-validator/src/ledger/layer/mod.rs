//! Every request that is let in becomes one row, and is charged by it.

mod acknowledged;
mod counts;
mod entry;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use arc_swap::ArcSwap;
use async_trait::async_trait;
use synapse_core::{
    ApiKey, Attached, Caller, CallerId, Error, Health, InferenceService, Input, MetricsData, Middleware,
    MiddlewareService, Next, Output, Pending, RequestId, SystemClock, WallClock,
};
use tokio::time::Instant;
use tower::Layer;

use self::{
    acknowledged::{Acknowledged, Closed},
    counts::Counts,
    entry::Entry,
};
use super::{Ledger, Opening, Position, Settings, Sync, UnixMillis};
use crate::{
    billing::{Accounts, Bill, PriceBook, Terms},
    token_count::{Metered, PromptTokens, cap_name, replies},
};

/// Where the prices that rows refer to are noted, in the ledger's directory.
const NOTED_PRICES: &str = "prices.toml";

/// Writes a durable row of each request, and charges it: what it may cost is *held* of the caller's balance as it comes,
/// and what it did cost is charged as it ends.
///
/// The opening row is written before the request goes in. The closing row is written before the last event is handed on,
/// and a reply whose row cannot be written ends with that error in the place of its last event: no reply is complete
/// without its row. With [`Sync::Always`] the head and the last event wait until the disk has stored them. Whatever
/// happens, a request has one closing row, or, where the process or the disk failed, none: such a request is closed as
/// `interrupted` when the ledger is opened again, and billed nothing.
///
/// | the request | outcome | charge |
/// | --- | --- | --- |
/// | was refused here | no row | – |
/// | failed before its first content, or panicked | `failed` | nothing |
/// | was given up by the client before its first content | `left` | nothing |
/// | was given up later | `left` | the prompt, and the reply as far as it was handed on |
/// | broke off after its first content | `broken` | the prompt, and the reply as far as it was handed on |
/// | was answered whole | `complete` | the prompt and the reply |
///
/// A reply that was not asked for as a stream is handed on once it is whole, and costs nothing at all before.
///
/// Tokens are those that we count. What the miner claims is in the row and changes nothing, and neither do tokens beyond
/// `max_tokens`: a charge is never more than its hold. A request that a layer *outside* of this one makes twice is two
/// requests; what a layer *inside* tries again is one.
///
/// The prompt is counted by a [`TokenCountLayer`](crate::token_count::TokenCountLayer) outside of this one; without it
/// four bytes count as a token. Where a request that costs something does not say how long its reply may be, this layer
/// does, as an edit: [`default_max_tokens`](Self::default_max_tokens). A rate limit outside of this one may have done so
/// before.
///
/// What is refused is billed nothing and has no row:
///
/// | code | kind | why |
/// | --- | --- | --- |
/// | `insufficient_balance` | payment required | the balance less what is held does not hold what the request may cost |
/// | `no_account` | payment required | the caller never paid anything in, and the [terms](Terms) ask for it |
/// | `spend_limit_reached` | rate limited | the caller or the key has spent too much of its day or month, in UTC |
/// | `request_exceeds_spend_limit` | invalid | the request alone may cost more than such a limit |
/// | `model_not_priced` | not found | the model is not sold |
/// | `no_prices_yet` | unavailable | the first prices do not hold yet |
///
/// ```no_run
/// use synapse_core::{ModuleExt, testkit::Echo};
/// use synapse_validator::{
///     TokenCountLayer, Tokenizers,
///     billing::{PriceBook, Terms, Unpaid},
///     ledger::LedgerLayer,
/// };
/// use tower::ServiceBuilder;
///
/// let prices = PriceBook::read("prices.toml")?;
/// let ledger = LedgerLayer::open("./ledger", prices)?.terms(Terms::default().unpaid(Unpaid::Refuse));
/// let gateway = Echo::new()
///     .with(ServiceBuilder::new().layer(TokenCountLayer::new(Tokenizers::new())).layer(ledger.clone()))
///     .attach(ledger);
/// # Ok::<(), synapse_core::Error>(())
/// ```
///
/// It stands inside the rate limit, and around whatever does the work. [Attached](synapse_core::Stack::attach) it reports
/// `ledger.open`, `ledger.rows` by outcome, `ledger.charged` and `ledger.held` in millionths of a unit, `ledger.refused` by
/// code, `ledger.unwritten`, and [how long storing takes](Ledger::metrics); it is unhealthy while the ledger takes no rows.
#[derive(Debug, Clone)]
pub struct LedgerLayer {
    ledger: Ledger,
    accounts: Arc<Accounts>,
    prices: Arc<ArcSwap<PriceBook>>,
    /// Where the prices are noted.
    noted: Option<Arc<PathBuf>>,
    terms: Arc<ArcSwap<Terms>>,
    default_max_tokens: u32,
    clock: Arc<dyn WallClock>,
    counts: Arc<Counts>,
}

impl LedgerLayer {
    /// Opens the ledger in `directory`, kept as by default, and charges by `prices`, which are noted there.
    ///
    /// # Errors
    /// As [`Ledger::open`], and as [`PriceBook::note`].
    pub fn open(directory: impl AsRef<Path>, prices: PriceBook) -> Result<Self, Error> {
        let directory = directory.as_ref();
        let ledger = Ledger::open(directory, Settings::default())?;
        Self::new(ledger, PriceBook::free()).noting_prices(directory.join(NOTED_PRICES), prices)
    }

    /// Writes to `ledger`, and charges by `prices`.
    #[must_use]
    pub fn new(ledger: Ledger, prices: PriceBook) -> Self {
        Self {
            accounts: Arc::new(Accounts::new(ledger.clone())),
            ledger,
            prices: Arc::new(ArcSwap::from_pointee(prices)),
            noted: None,
            terms: Arc::new(ArcSwap::from_pointee(Terms::default())),
            default_max_tokens: 4096,
            clock: Arc::new(SystemClock),
            counts: Arc::default(),
        }
    }

    /// The same that charges by `prices`, and notes those in `file`: so an operator who starts it with other prices under
    /// an old version is told so.
    ///
    /// # Errors
    /// As [`PriceBook::note`].
    pub fn noting_prices(mut self, file: impl Into<PathBuf>, prices: PriceBook) -> Result<Self, Error> {
        let file = file.into();
        prices.note(&file, self.now())?;
        self.noted = Some(Arc::new(file));
        self.prices = Arc::new(ArcSwap::from_pointee(prices));
        Ok(self)
    }

    /// Serves on these terms.
    #[must_use]
    pub fn terms(self, terms: Terms) -> Self {
        self.set_terms(terms);
        self
    }

    /// Lets a reply have so many tokens where the request does not say, 4096 by default.
    #[must_use]
    pub fn default_max_tokens(mut self, tokens: u32) -> Self {
        self.default_max_tokens = tokens;
        self
    }

    /// Reads the time of day off another clock.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn WallClock>) -> Self {
        self.clock = clock;
        self
    }

    /// Serves on these terms from now on, as a reload of a configuration has it; every clone of this layer with it.
    pub fn set_terms(&self, terms: Terms) {
        self.terms.store(Arc::new(terms));
    }

    /// Checks that [`set_prices`](Self::set_prices) would take these prices.
    ///
    /// # Errors
    /// `price_version_changed`.
    pub fn check_prices(&self, prices: &PriceBook) -> Result<(), Error> {
        self.prices.load().check_successor(prices, self.now())
    }

    /// Charges what comes from now on by these prices; every clone of this layer with it. What is under way is charged as
    /// it was begun.
    ///
    /// # Errors
    /// `price_version_changed` where they say something else of a version that is or was in effect; then nothing changes.
    pub fn set_prices(&self, prices: PriceBook) -> Result<(), Error> {
        let now = self.now();
        self.prices.load().check_successor(&prices, now)?;
        if let Some(file) = &self.noted {
            prices.note(&**file, now)?;
        }
        self.prices.store(Arc::new(prices));
        Ok(())
    }

    /// The ledger, to ask for balances and rows.
    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    fn now(&self) -> UnixMillis {
        let since = self.clock.now().duration_since(SystemTime::UNIX_EPOCH);
        millis(since.unwrap_or_default())
    }

    /// Lets a request in: holds what it may cost, and writes its opening row.
    fn begin(&self, input: &mut Input, prompt: &PromptTokens, closed: &Closed) -> Result<Begun, Error> {
        let at = self.now();
        let model = input.model()?.to_owned();
        let quote = self.prices.load().quote(&model, at)?;
        let replies = replies(input, prompt)?;
        let each = match input.max_tokens()? {
            Some(max) => max,
            None if replies == 0 || quote.price.is_free() => 0,
            None => {
                input.set_max_tokens(self.default_max_tokens)?;
                self.default_max_tokens
            }
        };
        let caller: Option<CallerId> = input
            .extensions()
            .get::<Caller>()
            .map(|caller| caller.id().clone());
        let key = input.extensions().get::<ApiKey>();
        let bill = Bill {
            caller: caller.as_ref(),
            key,
            price: quote.price,
            prompt_tokens: prompt.count().tokens(),
            replies,
            most_completion: replies.saturating_mul(u64::from(each)),
            cap: cap_name(input),
            at,
        };
        let hold = self.accounts.hold(&bill, &self.terms.load())?;
        let request = input.extensions().get::<RequestId>().cloned();
        let opening = Opening {
            at,
            request: request.unwrap_or_else(RequestId::unique),
            caller: caller.clone(),
            key: key.map(|key| key.id().clone()),
            model,
            prompt: prompt.count(),
            most_completion: bill.most_completion,
            price: quote.version,
            hold: hold.amount(),
        };
        let written = self.ledger.begin(&opening);
        let (entry, position) = written.inspect_err(|_| self.counts.failed_to_write())?;
        let entry = Entry::new(self, entry, &opening, quote.price, hold, closed.clone());
        let is_capped = replies > 0 && input.max_tokens()?.is_some();
        Ok(Begun {
            entry,
            position,
            most: is_capped.then_some(opening.most_completion),
        })
    }
}

/// A request that was let in.
struct Begun {
    entry: Entry,
    position: Position,
    /// Tokens that all replies may have together, where somebody said.
    most: Option<u64>,
}

impl<S> Layer<S> for LedgerLayer {
    type Service = MiddlewareService<Self, S>;

    fn layer(&self, inner: S) -> Self::Service {
        MiddlewareService::new(Arc::new(self.clone()), inner)
    }
}

impl Middleware for LedgerLayer {
    async fn handle<S: InferenceService>(&self, mut input: Input, next: Next<S>) -> Result<Output, Error> {
        let began = Instant::now();
        let counted = input.extensions().get::<PromptTokens>().cloned();
        let prompt = counted.unwrap_or_else(|| PromptTokens::estimate(&input));
        let closed = Closed::default();
        let begun = self.begin(&mut input, &prompt, &closed);
        let Begun {
            entry,
            position,
            most,
        } = begun.inspect_err(|error| self.counts.refused(error.code()))?;
        let mut pending = Pending::new(entry.began(began, input.wants_stream().unwrap_or(true)));
        let waits = self.ledger.settings().sync == Sync::Always;
        let mut result = next.run(input).await;
        if waits && let Ok(output) = result {
            let stored = self.ledger.durable(position).await;
            result = stored
                .inspect_err(|_| self.counts.failed_to_write())
                .map(|()| output);
        }
        let result = result.map(|mut output| {
            let metered = Metered::of(&mut output, &prompt);
            metered.at_most(most);
            pending.tap_mut().answered(output.head.served_by(), metered);
            output
        });
        let waits = waits.then(|| self.ledger.clone());
        let output = pending.settle(result)?;
        Ok(output.map_body(|body| body.wrap(|body| Acknowledged::new(body, closed, waits))))
    }
}

#[async_trait]
impl Attached for LedgerLayer {
    fn health(&self) -> Health {
        self.ledger.health()
    }

    fn metrics(&self, metrics: &mut MetricsData) {
        self.counts.report(metrics, self.accounts.held());
        self.ledger.metrics(metrics);
    }

    async fn shutdown(&self) -> Result<(), Error> {
        let ledger = self.ledger.clone();
        // It waits for the disk.
        let stored = tokio::task::spawn_blocking(move || ledger.sync()).await;
        stored.unwrap_or_else(|failed| {
            Err(Error::internal("ledger_sync_failed", "storing the ledger failed").with_source(failed))
        })?;
        Ok(())
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
