//! Quotas of requests and tokens: reserved at the door, settled when the reply ends.

mod gcra;
mod limiter;
mod quota;
mod reservation;

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use async_trait::async_trait;
use synapse_core::{
    Attached, Caller, Error, ErrorKind, InferenceService, Input, MetricsData, Middleware, MiddlewareService,
    Next, Output, Pending, Task,
};
use tower::Layer;

pub use self::quota::Quota;
use self::{
    limiter::{Cost, Limiter},
    reservation::{Open, Reservation},
};
use crate::token_count::{PromptTokens, prompts};

/// Holds each caller to a [`Quota`].
///
/// A request takes one of the window of requests. Of the window of tokens it *reserves* the prompt and the most that
/// the reply may have, and is *settled* when its body ends, however it ends:
///
/// | the request | requests | tokens |
/// | --- | --- | --- |
/// | was answered; the reply was complete, broke off, or the client left | 1 | the prompt, and the reply as far as it came |
/// | was given up by the client before the reply began | 1 | the prompt |
/// | failed before the reply began, by the caller's fault | 1 | none |
/// | failed before the reply began, by anybody else's fault | none | none |
///
/// So in any interval what was reserved less what was given back is at most the burst and what the rate adds.
///
/// The prompt is counted by a [`TokenCountLayer`](crate::token_count::TokenCountLayer) outside of this one; without it
/// four bytes count as a token. Where a request does not say how long its reply may be, this layer does:
/// [`default_max_tokens`](Self::default_max_tokens) or what a *full* window holds beside the prompt, as an edit. What
/// the caller has left does not count: a request without a cap is refused for now where a smaller one would still fit,
/// so callers who are short of tokens should set one. Callers
/// are told apart by their [`Caller`]; all that have none share one account. At most
/// [`max_callers`](Self::max_callers) are known at once, and a further one is refused with `too_many_callers` until one
/// that is known has its quota back.
///
/// What does not fit is refused with `rate_limited` and the exact wait; what never will, with `request_exceeds_quota`;
/// and where a window holds nothing at all, with `quota_is_zero`.
///
/// The quota's windows and what is left of them are on the output's head, as [`RateLimitStatus`].
#[derive(Debug, Clone)]
pub struct RateLimitLayer {
    limiter: Arc<Limiter>,
    default_max_tokens: u32,
    refused: Arc<AtomicU64>,
    open: Arc<AtomicU64>,
}

impl RateLimitLayer {
    /// Holds each caller to `quota`.
    #[must_use]
    pub fn per_caller(quota: Quota) -> Self {
        Self {
            limiter: Arc::new(Limiter::new(quota, 100_000)),
            default_max_tokens: 4096,
            refused: Arc::default(),
            open: Arc::default(),
        }
    }

    /// Lets a reply have so many tokens where the request does not say, 4096 by default. Only matters under a quota of
    /// tokens.
    #[must_use]
    pub fn default_max_tokens(mut self, tokens: u32) -> Self {
        self.default_max_tokens = tokens;
        self
    }

    /// Knows so many callers at once, 100,000 by default. Starts all accounts anew, so set it first.
    #[must_use]
    pub fn max_callers(mut self, callers: usize) -> Self {
        self.limiter = Arc::new(Limiter::new(self.limiter.quota(), callers));
        self
    }

    /// Holds each caller to `quota` from now on, as a reload of a configuration has it. What a caller has used stays used,
    /// as far as the new windows hold it; every clone of this layer changes with it.
    pub fn set_quota(&self, quota: Quota) {
        self.limiter.set_quota(quota);
    }

    /// What the request takes, and how its tokens are counted; caps a reply that has no cap.
    fn cost(&self, input: &mut Input) -> Result<(Cost, PromptTokens), Error> {
        let Some(window) = self.limiter.quota().tokens else {
            let none = Cost {
                requests: 1,
                tokens: 0,
            };
            return Ok((none, PromptTokens::unknown()));
        };
        let counted = input.extensions().get::<PromptTokens>().cloned();
        let prompt = counted.unwrap_or_else(|| PromptTokens::estimate(input));
        let tokens = prompt.count().tokens();
        let replies = replies(input, &prompt)?;
        let reply = match input.max_tokens()? {
            _ if replies == 0 => 0,
            Some(max) => u64::from(max),
            None => {
                let room = window.amount.saturating_sub(tokens) / replies;
                let max = u32::try_from(room)
                    .unwrap_or(u32::MAX)
                    .min(self.default_max_tokens)
                    .max(1);
                input.set_max_tokens(max)?;
                u64::from(max)
            }
        };
        let tokens = tokens.saturating_add(reply.saturating_mul(replies));
        Ok((Cost { requests: 1, tokens }, prompt))
    }
}

/// How many replies are asked for: `n` for each prompt; none where the task writes no text.
fn replies(input: &Input, counted: &PromptTokens) -> Result<u64, Error> {
    let task = input.task();
    let prompts = if *task == Task::CHAT {
        1
    } else if *task != Task::TEXT_COMPLETION {
        return Ok(0);
    } else if let Some(prompts) = counted.prompts() {
        prompts
    } else {
        // Nobody counted them, so that the request has to be read for it.
        prompts(&input.request()?.prompt)
    };
    Ok(u64::from(input.params()?.n.max(1)).saturating_mul(prompts.max(1) as u64))
}

impl<S> Layer<S> for RateLimitLayer {
    type Service = MiddlewareService<Self, S>;

    fn layer(&self, inner: S) -> Self::Service {
        MiddlewareService::new(Arc::new(self.clone()), inner)
    }
}

impl Middleware for RateLimitLayer {
    async fn handle<S: InferenceService>(&self, mut input: Input, next: Next<S>) -> Result<Output, Error> {
        let key = input
            .extensions()
            .get::<Caller>()
            .map(|caller| caller.id().clone());
        let (cost, prompt) = self.cost(&mut input)?;
        let status = self.limiter.reserve(&key, cost).inspect_err(|error| {
            if error.kind() != ErrorKind::Invalid {
                self.refused.fetch_add(1, Ordering::Relaxed);
            }
        })?;
        let mut pending = Pending::new(Reservation {
            _open: Open::new(&self.open),
            limiter: self.limiter.clone(),
            key,
            reserved: cost,
            prompt_tokens: prompt.count().tokens(),
            meter: prompt.meter(),
            answered: false,
        });
        let result = next.run(input).await.map(|mut output| {
            pending.tap_mut().answered = true;
            output.head.extensions_mut().insert(status);
            output
        });
        pending.settle(result)
    }
}

#[async_trait]
impl Attached for RateLimitLayer {
    #[expect(clippy::cast_precision_loss, reason = "numbers of callers and requests")]
    fn metrics(&self, metrics: &mut MetricsData) {
        metrics.counter("rate_limit.refused", self.refused.load(Ordering::Relaxed));
        metrics.gauge(
            "rate_limit.reservations",
            self.open.load(Ordering::Relaxed) as f64,
        );
        metrics.gauge("rate_limit.callers", self.limiter.callers() as f64);
    }
}
