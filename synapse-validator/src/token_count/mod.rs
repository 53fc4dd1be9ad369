//! Tokens, counted by ourselves: the prompt once at the door, the reply as it passes.
//!
//! Nobody trusts a miner's count. [`TokenCountLayer`] counts with the model's own tokenizer and leaves
//! [`PromptTokens`] on the input for the layers inside it (a rate limit, a ledger) and a [`UsageReport`] on the output
//! for those outside (a trace).

#[cfg(feature = "tokenizer-json")]
mod json;
mod loading;
mod meter;
mod metered;
#[cfg(feature = "openai-vocabularies")]
mod openai;
mod prompt;
mod replies;
mod report;
mod tokenizers;
mod totals;
mod vocabulary;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use synapse_core::{
    Attached, Chunk, Ending, Error, ErrorKind, InferenceService, Input, MetricsData, Middleware,
    MiddlewareService, Next, NodeId, Output, Pending, Tap, TokenCount, Usage,
};
use tokio::sync::Semaphore;
use tower::Layer;

#[cfg(feature = "tokenizer-json")]
pub use self::json::JsonTokenizer;
#[cfg(feature = "openai-vocabularies")]
pub use self::openai::{OpenAiTokenizer, OpenAiVocabulary};
pub(crate) use self::replies::{cap_name, replies};
use self::totals::Totals;
pub use self::{
    meter::CompletionMeter,
    metered::Metered,
    prompt::PromptTokens,
    report::{CountedUsage, UsageReport},
    tokenizers::Tokenizers,
    vocabulary::Vocabulary,
};

/// Prompts longer than this are counted off the I/O threads.
const INLINE_BYTES: usize = 16 * 1024;
/// Requests that may wait for a worker, for each worker there is.
const WAITING: usize = 64;

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
/// layer reads any of it. One above 16 KiB is counted off the I/O threads, by one worker fewer than the machine has cores;
/// where 64 wait for each of them, a further one is refused with `too_many_long_prompts`. Nobody counts to the end for a
/// client who left.
///
/// Some tokenizers take time that grows with the square of a hostile text: one that does not call itself linear is given
/// 256 KiB at once, and of a longer text parts of 16 KiB, whose sum is approximate. A model without a tokenizer is
/// estimated at four bytes a token, and labelled so.
///
/// Without a template tools, schemas, calls and fields that nobody here knows count as their JSON, and an image, a sound or a
/// file in a message as 1,000 tokens: what goes into a prompt is never free. With one they do as far as it does not write
/// them itself.
///
/// What a miner says of its usage is compared and changes nothing. [`attach`](synapse_core::ModuleExt)ed, the layer
/// reports by `miner` how many claims were off (`usage.mismatch`), and how many tokens were claimed beyond those counted
/// (`usage.overclaimed_tokens`) among how many (`usage.compared_tokens`): a share of some percent names a miner that adds
/// a little to each. `usage.beyond_max_tokens` counts replies that a tokenizer finds longer than their request's
/// `max_tokens`, or than the cap that a layer inside gave it: it names a miner that heeds neither.
#[derive(Debug, Clone)]
pub struct TokenCountLayer {
    tokenizers: Arc<Tokenizers>,
    max_request_bytes: usize,
    workers: Arc<Semaphore>,
    /// A place for whom a worker counts, and for all who wait for one.
    places: Arc<Semaphore>,
    totals: Arc<Mutex<Totals>>,
}

impl TokenCountLayer {
    /// Counts by these tokenizers.
    #[must_use]
    pub fn new(tokenizers: Tokenizers) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let workers = (cores - 1).max(1);
        Self {
            tokenizers: Arc::new(tokenizers),
            max_request_bytes: 4 * 1024 * 1024,
            workers: Arc::new(Semaphore::new(workers)),
            places: Arc::new(Semaphore::new(workers * (1 + WAITING))),
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

    async fn count(&self, input: &Input, length: usize, model: &str) -> Result<PromptTokens, Error> {
        let Some(vocabulary) = self.tokenizers.of(model).await else {
            return Ok(PromptTokens::estimate(input));
        };
        if length <= INLINE_BYTES {
            return prompt::count(input, &vocabulary, &|| true);
        }
        let place = self.places.clone().try_acquire_owned().map_err(|_| crowded())?;
        let worker = self.workers.clone().acquire_owned().await;
        let here = Arc::new(());
        let (input, waits) = (input.clone(), Arc::downgrade(&here));
        let count = move || {
            // In here, since this goes on for a while when the client is gone.
            let _held = (place, worker);
            prompt::count(&input, &vocabulary, &|| waits.strong_count() > 0)
        };
        let counted = tokio::task::spawn_blocking(count).await;
        drop(here);
        counted.unwrap_or_else(|failed| {
            Err(Error::internal("count_failed", "counting the prompt failed").with_source(failed))
        })
    }
}

/// Why a long prompt is not taken for now.
fn crowded() -> Error {
    Error::new(
        ErrorKind::Overloaded,
        "too_many_long_prompts",
        "too many long prompts wait to be counted",
    )
    .with_retry_after(Duration::from_secs(1))
    .with_hint("send it again in a moment, or make it shorter than 16 KiB")
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
        let tokens = self.count(&input, length, &model).await?;
        let most = match (input.max_tokens()?, tokens.prompts()) {
            (Some(each), Some(_)) => Some(replies(&input, &tokens)?.saturating_mul(each.into())),
            // An estimate accuses nobody.
            _ => None,
        };
        let report = UsageReport::default();
        let mut pending = Pending::new(Comparison {
            layer: self.clone(),
            model,
            miner: None,
            prompt: tokens.count(),
            reply: None,
            claimed: None,
            report: report.clone(),
        });
        input.extensions_mut().insert(tokens.clone());
        let result = next.run(input).await.map(|mut output| {
            let comparison = pending.tap_mut();
            comparison.miner = output.head.served_by().cloned();
            let reply = Metered::of(&mut output, &tokens);
            reply.at_most(most.filter(|most| *most > 0));
            comparison.reply = Some(reply);
            output.head.extensions_mut().insert(report);
            output
        });
        pending.settle(result)
    }
}

#[async_trait]
impl Attached for TokenCountLayer {
    fn metrics(&self, metrics: &mut MetricsData) {
        self.totals
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .metrics(metrics);
        for (vocabulary, failures) in self.tokenizers.failures() {
            let labels = [("vocabulary", vocabulary)];
            metrics.gauge_of("tokenizer.failures", &labels, f64::from(failures));
        }
    }
}

/// Compares what a miner says of a reply with what was counted of it.
struct Comparison {
    layer: TokenCountLayer,
    model: String,
    miner: Option<NodeId>,
    prompt: TokenCount,
    /// Where there is one.
    reply: Option<Metered>,
    claimed: Option<Usage>,
    report: UsageReport,
}

impl Tap for Comparison {
    fn on_chunk(&mut self, chunk: &Chunk) {
        self.claimed = chunk.usage().or(self.claimed);
    }

    fn on_end(&mut self, _: &Ending) {
        let Some(reply) = &self.reply else { return };
        let output = reply.count();
        let by_tokenizer = reply.is_by_tokenizer();
        let usage = CountedUsage::new(self.prompt, output, self.claimed, reply.most(), by_tokenizer);
        let mut totals = self.layer.totals.lock().unwrap_or_else(PoisonError::into_inner);
        totals.add(&self.model, self.miner.as_ref(), &usage);
        drop(totals);
        self.report.fill(usage);
    }
}
