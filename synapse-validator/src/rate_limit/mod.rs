//! Quotas of requests and tokens: reserved at the door, settled when the reply ends.

mod account;
mod calendar;
#[cfg(feature = "config")]
pub(crate) mod config;
mod demand;
mod gcra;
mod limits;
mod local;
mod past;
mod quota;
#[cfg(feature = "redis")]
mod redis;
mod reservation;
mod store;
mod verdict;

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use arc_swap::ArcSwap;
use async_trait::async_trait;
#[cfg(feature = "redis")]
use synapse_core::Health;
use synapse_core::{
    Attached, Deadline, Error, ErrorKind, InferenceService, Input, MetricsData, Middleware,
    MiddlewareService, Next, Output, Pending, SystemClock, WallClock,
};
use tower::Layer;

#[cfg(feature = "redis")]
pub use self::redis::{SharedLimits, WhenAway};
use self::{
    account::Scope,
    demand::{Cost, Demands},
    local::Local,
    reservation::{Answered, Open, Reservation},
    store::{Accounts, Store},
    verdict::Refused,
};
pub use self::{limits::Limits, past::Restored, quota::Quota};
use crate::token_count::{Metered, PromptTokens, replies};

/// Holds requests to [`Limits`]: of each caller, each API key, each address, of some models, and of everybody.
///
/// A request takes one of each window of requests. Of each window of tokens it *reserves* the prompt and the most that
/// the reply may have, and is *settled* when its body ends, however it ends:
///
/// | the request | requests | tokens |
/// | --- | --- | --- |
/// | was answered; the reply was complete, broke off, or the client left | 1 | the prompt, and the reply as far as it came |
/// | was given up by the client before the reply began | 1 | the prompt |
/// | failed before the reply began, by the caller's fault | 1 | none |
/// | failed before the reply began, by anybody else's fault | none | none |
///
/// So in any interval what was reserved less what was given back is at most the burst and what the rate adds, and of a
/// budget no more is used than it holds. All windows of a request are taken from together, or none is.
///
/// The prompt is counted by a [`TokenCountLayer`](crate::token_count::TokenCountLayer) outside of this one; without it
/// four bytes count as a token. Where a request does not say how long its reply may be, this layer does:
/// [`default_max_tokens`](Self::default_max_tokens) or what the smallest *full* window holds beside the prompt, as an
/// edit. What is left does not count: a request without a cap is refused for now where a smaller one would still fit,
/// so callers who are short of tokens should set one. Callers are told apart by their [`Caller`](synapse_core::Caller),
/// keys by the [`ApiKey`](synapse_core::ApiKey) that says what may be asked for with it, and addresses by
/// [`ClientIp`](synapse_core::ClientIp); all callers that have none share one account, and so do all addresses. At most
/// [`max_callers`](Self::max_callers) of each are known at once, and a further one is refused with `too_many_callers`
/// until one that is known has its quota back.
///
/// What does not fit is refused with `rate_limited`, or with `budget_exhausted` where it is a budget's day or month that
/// has too little left, and the exact wait; what never will, with `request_exceeds_quota`; and where a window holds
/// nothing at all, with `quota_is_zero`. The error's message names the window and whose it is.
///
/// What is left is on the output's head, as [`RateLimitStatus`](synapse_core::RateLimitStatus), and the source of a
/// refusal ([`RateLimited`](synapse_core::RateLimited)).
///
/// The accounts are in this process, and no change of the machine's time of day moves them. They begin anew with it, but for
/// what [`restore`](Self::restore) finds in the ledger. With the feature `redis` several gateways share them.
#[derive(Debug, Clone)]
pub struct RateLimitLayer {
    limits: Arc<ArcSwap<Limits>>,
    store: Store,
    default_max_tokens: u32,
    max_callers: usize,
    clock: Arc<dyn WallClock>,
    refused: Arc<[AtomicU64; Scope::ALL.len()]>,
    open: Arc<AtomicU64>,
}

impl RateLimitLayer {
    /// Holds requests to `limits`, and to what their API keys allow.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        let (max_callers, clock) = (100_000, SystemClock);
        Self {
            limits: Arc::new(ArcSwap::from_pointee(limits)),
            store: Store::Local(Arc::new(Local::new(max_callers, &clock))),
            default_max_tokens: 4096,
            max_callers,
            clock: Arc::new(clock),
            refused: Arc::default(),
            open: Arc::default(),
        }
    }

    /// Holds each caller to `quota`, and requests to what their API keys allow.
    #[must_use]
    pub fn per_caller(quota: Quota) -> Self {
        Self::new(Limits::per_caller(quota))
    }

    /// Lets a reply have so many tokens where the request does not say, 4096 by default. Only matters under a quota of
    /// tokens.
    #[must_use]
    pub fn default_max_tokens(mut self, tokens: u32) -> Self {
        self.default_max_tokens = tokens;
        self
    }

    /// Knows so many callers, keys and addresses each at once, 100,000 by default. Starts all accounts anew, so set it
    /// first.
    #[must_use]
    pub fn max_callers(mut self, callers: usize) -> Self {
        self.max_callers = callers;
        self.in_process()
    }

    /// Reads the day and the month of budgets from this clock, once and now; the machine's by default. Starts all accounts
    /// anew, so set it first.
    #[must_use]
    pub fn clock(mut self, clock: impl WallClock) -> Self {
        self.clock = Arc::new(clock);
        self.in_process()
    }

    /// Keeps the accounts in Redis, where several gateways share them. Set it last.
    ///
    /// # Panics
    /// Outside of tokio's runtime: the connection has a task of its own, which ends with the last clone of this layer.
    #[cfg(feature = "redis")]
    #[must_use]
    pub fn shared(mut self, shared: SharedLimits) -> Self {
        let alone = Local::new(self.max_callers, &*self.clock);
        self.store = Store::Shared(Arc::new(redis::Shared::open(shared, alone)));
        self
    }

    /// Goes on from what the ledger in this directory says was used before this process began: tokens of budgets, and of
    /// windows that a day refills, by caller, key, model and everybody. All other windows begin anew: those of requests, those
    /// of an hour and less, and those of addresses, which no ledger knows.
    ///
    /// It reads the rows of this month, and of two days at least, once, and blocks for as long; requests may come meanwhile,
    /// to which this day and month have just begun. At most [`max_callers`](Self::max_callers) accounts of each kind are
    /// restored. A window that a day refills is taken for used up as those rows begin: that makes no difference to who let it
    /// be full once since, and who never did may find less in it than there was. Of a request that the end of the process
    /// interrupted the prompt counts, and what rows say that the ledger gave up is not known. Call it once; limits that
    /// several gateways share are kept where they share them, and nothing is read.
    ///
    /// # Errors
    /// Those of [`ledger::rows`](crate::ledger::rows); nothing is taken in then.
    pub fn restore(&self, ledger: impl AsRef<Path>) -> Result<Restored, Error> {
        match &self.store {
            Store::Local(local) => local.restore(ledger.as_ref(), &self.limits.load()),
            #[cfg(feature = "redis")]
            Store::Shared(_) => Ok(Restored::default()),
        }
    }

    fn in_process(mut self) -> Self {
        self.store = Store::Local(Arc::new(Local::new(self.max_callers, &*self.clock)));
        self
    }

    /// Holds requests to `limits` from now on, as a reload of a configuration has it. What was used stays used, as far as
    /// the new windows hold it; every clone of this layer changes with it.
    pub fn set_limits(&self, limits: Limits) {
        self.limits.store(Arc::new(limits));
    }

    /// Holds each caller to `quota` from now on, as [`set_limits`](Self::set_limits) does.
    pub fn set_quota(&self, quota: Quota) {
        self.limits.rcu(|limits| Limits {
            caller: quota,
            ..Limits::clone(limits)
        });
    }

    /// What the request takes, and what is counted of it where tokens are; caps a reply that has no cap.
    fn cost(&self, input: &mut Input, demands: &Demands) -> Result<(Cost, Option<Asked>), Error> {
        let Some(least) = demands.least_tokens() else {
            let none = Cost {
                requests: 1,
                tokens: 0,
            };
            return Ok((none, None));
        };
        let counted = input.extensions().get::<PromptTokens>().cloned();
        let prompt = counted.unwrap_or_else(|| PromptTokens::estimate(input));
        let tokens = prompt.count().tokens();
        let replies = replies(input, &prompt)?;
        let reply = match input.max_tokens()? {
            _ if replies == 0 => 0,
            Some(max) => u64::from(max),
            None => {
                let room = least.saturating_sub(tokens) / replies;
                let max = u32::try_from(room)
                    .unwrap_or(u32::MAX)
                    .min(self.default_max_tokens)
                    .max(1);
                input.set_max_tokens(max)?;
                u64::from(max)
            }
        };
        let most = reply.saturating_mul(replies);
        let cost = Cost {
            requests: 1,
            tokens: tokens.saturating_add(most),
        };
        let most = (replies > 0).then_some(most);
        Ok((cost, Some(Asked { prompt, most })))
    }

    async fn reserve(&self, demands: &Demands, cost: Cost) -> Result<store::Granted, Error> {
        let granted = match verdict::check_amounts(demands, cost) {
            Ok(()) => self.store.reserve(demands, cost).await,
            Err(refused) => Err(refused),
        };
        granted.map_err(|Refused { scope, error }| {
            if let Some(scope) = scope
                && error.kind() != ErrorKind::Invalid
            {
                self.refused[scope as usize].fetch_add(1, Ordering::Relaxed);
            }
            error
        })
    }
}

/// The tokens of a request.
struct Asked {
    prompt: PromptTokens,
    /// Those that all replies may have together.
    most: Option<u64>,
}

impl<S> Layer<S> for RateLimitLayer {
    type Service = MiddlewareService<Self, S>;

    fn layer(&self, inner: S) -> Self::Service {
        MiddlewareService::new(Arc::new(self.clone()), inner)
    }
}

impl Middleware for RateLimitLayer {
    async fn handle<S: InferenceService>(&self, mut input: Input, next: Next<S>) -> Result<Output, Error> {
        let demands = Demands::of(&input, &self.limits.load());
        let (cost, asked) = self.cost(&mut input, &demands)?;
        let granted = self.reserve(&demands, cost).await?;
        let mut pending = Pending::new(Reservation {
            _open: Open::new(&self.open),
            store: self.store.clone(),
            demands,
            receipt: granted.receipt,
            reserved: cost,
            prompt_tokens: asked.as_ref().map_or(0, |asked| asked.prompt.count().tokens()),
            deadline: input.extensions().get::<Deadline>().copied(),
            answered: Answered::No,
        });
        let result = next.run(input).await.map(|mut output| {
            pending.tap_mut().answered = match &asked {
                Some(Asked { prompt, most }) => {
                    let metered = Metered::of(&mut output, prompt);
                    metered.at_most(*most);
                    Answered::Counted(metered)
                }
                None => Answered::Yes,
            };
            output.head.extensions_mut().insert(granted.status);
            output
        });
        pending.settle(result)
    }
}

#[async_trait]
impl Attached for RateLimitLayer {
    #[expect(clippy::cast_precision_loss, reason = "numbers of callers and requests")]
    fn metrics(&self, metrics: &mut MetricsData) {
        let mut refused = 0;
        for scope in Scope::ALL {
            let of_scope = self.refused[scope as usize].load(Ordering::Relaxed);
            metrics.counter_of("rate_limit.refused_by", &[("scope", scope.as_str())], of_scope);
            refused += of_scope;
        }
        metrics.counter("rate_limit.refused", refused);
        metrics.gauge(
            "rate_limit.reservations",
            self.open.load(Ordering::Relaxed) as f64,
        );
        #[cfg_attr(
            not(feature = "redis"),
            expect(clippy::infallible_destructuring_match, reason = "there may be another store")
        )]
        let local = match &self.store {
            Store::Local(local) => local,
            #[cfg(feature = "redis")]
            Store::Shared(shared) => {
                shared.metrics(metrics);
                shared.alone()
            }
        };
        metrics.gauge("rate_limit.callers", local.accounts(Scope::Caller) as f64);
        for scope in Scope::ALL {
            let accounts = local.accounts(scope) as f64;
            metrics.gauge_of("rate_limit.accounts", &[("scope", scope.as_str())], accounts);
        }
    }

    #[cfg(feature = "redis")]
    fn health(&self) -> Health {
        match &self.store {
            Store::Local(_) => Health::ready(),
            Store::Shared(shared) => shared.health(),
        }
    }

    #[cfg(feature = "redis")]
    async fn shutdown(&self) -> Result<(), Error> {
        match &self.store {
            Store::Local(_) => Ok(()),
            Store::Shared(shared) => shared.shutdown().await,
        }
    }
}
