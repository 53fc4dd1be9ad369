//! Tokens, counted by ourselves: the prompt once at the door, the reply as it passes.
//!
//! Nobody trusts a miner's count. [`TokenCountLayer`] counts with the model's own tokenizer and leaves
//! [`PromptTokens`] on the input for the layers inside it (a rate limit, a ledger) and a [`UsageReport`] on the output
//! for those outside (a trace).

mod meter;
mod metered;
mod prompt;
mod report;
mod tokenizers;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use synapse_core::{
    Attached, Chunk, Ending, Error, ErrorKind, InferenceService, Input, MetricsData, Middleware,
    MiddlewareService, Next, Output, Pending, Tap, TokenCount, Usage,
};
use tokio::sync::Semaphore;
use tower::Layer;

pub(crate) use self::prompt::prompts;
use self::tokenizers::Counting;
pub use self::{
    meter::CompletionMeter,
    metered::Metered,
    prompt::PromptTokens,
    report::{CountedUsage, UsageReport},
    tokenizers::Tokenizers,
};

/// Prompts longer than this are counted off the I/O threads.
const INLINE_BYTES: usize = 16 * 1024;
/// A request above this is estimated, so that no text keeps a worker for more than a second or so.
const EXACT_BYTES: usize = 256 * 1024;
/// Models whose totals are kept apart; others share one, so that made-up names cost no memory.
const MODELS: usize = 256;
/// Under which name they do.
const OTHER_MODELS: &str = "other";

/// Counts the tokens of prompts and replies.
///
/// Put it outside of the rate limit, which then reserves what was counted instead of an estimate:
///
/// ```
/// use synapse_core::{testkit::Echo, ModuleExt};
/// use synapse_validator::{rate_limit::{Quota, RateLimitLayer}, token_count::{TokenCountLayer, Tokenizers}};
/// use tower::ServiceBuilder;
///
/// let count = TokenCountLayer::new(Tokenizers::new());
/// let stack = Echo::new()
///     .with(
///         ServiceBuilder::new()
///             .layer(count.clone())
///             .layer(RateLimitLayer::per_caller(Quota::tokens_per_day(200_000))),
///     )
///     .attach(count);
/// # let _ = stack;
/// ```
///
/// A request above [`max_request_bytes`](Self::max_request_bytes) (4 MiB) is refused with `prompt_too_large` before this
/// layer reads any of it. A long prompt is counted off the I/O threads, at most as many at once as the machine has
/// cores; one whose client left meanwhile is counted to its end, and holds its place until then. One above 256 KiB is estimated:
/// some tokenizers take time that grows with the square of a hostile text. A model without a tokenizer is estimated at four bytes a token, and labelled so.
#[derive(Debug, Clone)]
pub struct TokenCountLayer {
    tokenizers: Arc<Tokenizers>,
    max_request_bytes: usize,
    workers: Arc<Semaphore>,
    totals: Arc<Mutex<BTreeMap<String, Totals>>>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Totals {
    input: u64,
    output: u64,
    mismatches: u64,
}

impl TokenCountLayer {
    /// Counts by these tokenizers.
    #[must_use]
    pub fn new(tokenizers: Tokenizers) -> Self {
        let workers = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self {
            tokenizers: Arc::new(tokenizers),
            max_request_bytes: 4 * 1024 * 1024,
            workers: Arc::new(Semaphore::new(workers)),
            totals: Arc::default(),
        }
    }

    /// Refuses requests longer than this before they are read here, let alone counted.
    #[must_use]
    pub fn max_request_bytes(mut self, bytes: usize) -> Self {
        self.max_request_bytes = bytes;
        self
    }

    /// The request's length in bytes, which takes no look into it.
    fn length(&self, input: &Input) -> Result<usize, Error> {
        let length = prompt::length(input);
        if length <= self.max_request_bytes {
            return Ok(length);
        }
        Err(Error::new(
            ErrorKind::TooLarge,
            "prompt_too_large",
            format!(
                "the request has {length} bytes, and at most {} are taken",
                self.max_request_bytes
            ),
        )
        .with_hint("shorten the prompt"))
    }

    async fn count(&self, input: &Input, length: usize, counting: &Counting) -> Result<PromptTokens, Error> {
        if length <= INLINE_BYTES {
            return prompt::count(input, counting);
        }
        if length > EXACT_BYTES {
            return Ok(PromptTokens::estimate(input).metered_by(counting));
        }
        let permit = self.workers.clone().acquire_owned().await;
        let (input, counting) = (input.clone(), counting.clone());
        let count = move || {
            // In here, since the counting goes on when the client is gone.
            let _permit = permit;
            prompt::count(&input, &counting)
        };
        tokio::task::spawn_blocking(count).await.unwrap_or_else(|failed| {
            Err(Error::internal("count_failed", "counting the prompt failed").with_source(failed))
        })
    }

    fn add(&self, model: &str, usage: &CountedUsage) {
        let mut totals = self.totals.lock().unwrap_or_else(PoisonError::into_inner);
        let known = totals.contains_key(model) || totals.len() < MODELS;
        let total = totals
            .entry(if known { model } else { OTHER_MODELS }.to_owned())
            .or_default();
        total.input = total.input.saturating_add(usage.input.tokens());
        total.output = total.output.saturating_add(usage.output.tokens());
        total.mismatches += u64::from(usage.is_mismatch());
    }
}

impl<S> Layer<S> for TokenCountLayer {
    type Service = MiddlewareService<Self, S>;

    fn layer(&self, inner: S) -> Self::Service {
        MiddlewareService::new(Arc::new(self.clone()), inner)
    }
}

impl Middleware for TokenCountLayer {
    async fn handle<S: InferenceService>(&self, mut input: Input, next: Next<S>) -> Result<Output, Error> {
        let length = self.length(&input)?;
        let model = input.model()?.to_owned();
        let counting = self.tokenizers.of(&model);
        let tokens = self.count(&input, length, &counting).await?;
        let report = UsageReport::default();
        let mut pending = Pending::new(Counter {
            layer: self.clone(),
            model,
            prompt: tokens.count(),
            meter: tokens.meter(),
            claimed: None,
            report: report.clone(),
            answered: false,
        });
        input.extensions_mut().insert(tokens);
        let result = next.run(input).await.map(|mut output| {
            pending.tap_mut().answered = true;
            output.head.extensions_mut().insert(report);
            output
        });
        pending.settle(result)
    }
}

#[async_trait]
impl Attached for TokenCountLayer {
    fn metrics(&self, metrics: &mut MetricsData) {
        let totals = self.totals.lock().unwrap_or_else(PoisonError::into_inner);
        for (model, total) in &*totals {
            let labels = [("model", model.as_str())];
            metrics.counter_of("tokens.input", &labels, total.input);
            metrics.counter_of("tokens.output", &labels, total.output);
            metrics.counter_of("usage.mismatch", &labels, total.mismatches);
        }
    }
}

/// Counts a reply as it passes.
struct Counter {
    layer: TokenCountLayer,
    model: String,
    prompt: TokenCount,
    meter: CompletionMeter,
    claimed: Option<Usage>,
    report: UsageReport,
    answered: bool,
}

impl Tap for Counter {
    fn on_chunk(&mut self, chunk: &Chunk) {
        self.meter.add(chunk);
        self.claimed = chunk.usage().or(self.claimed);
    }

    fn on_end(&mut self, _: &Ending) {
        if !self.answered {
            return;
        }
        let usage = CountedUsage::new(self.prompt, self.meter.count(), self.claimed);
        self.layer.add(&self.model, &usage);
        self.report.fill(usage);
    }
}
