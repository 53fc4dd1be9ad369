//! What happened to each request, for operators: one span, one event at its end, and counts.

mod outcome;
mod record;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use synapse_core::{
    Attached, Caller, Error, InferenceService, Input, MetricsData, Middleware, MiddlewareService, Next,
    Output, Pending, RequestId,
};
use tokio::time::Instant;
use tower::Layer;
use tracing::{Instrument, Span, field::Empty};

use self::{outcome::Counts, record::Record};
use crate::token_count::UsageReport;

/// Characters of a name that a client chose which are written down.
const NAME_CHARS: usize = 128;

/// Records each request as a `tracing` span, with an event at info when it ends.
///
/// Fields are named as in OpenTelemetry's GenAI conventions: `gen_ai.operation.name`, `gen_ai.request.model`,
/// `gen_ai.request.max_tokens`, `gen_ai.usage.input_tokens` and `gen_ai.usage.output_tokens` (as counted by a
/// [`TokenCountLayer`](crate::token_count::TokenCountLayer) inside), `error.type`; and, as those have no name for them,
/// `request.id`, `caller`, `miner`, `outcome`, `time_to_first_content_ms` and `duration_ms`. Prompts and replies are
/// never recorded.
///
/// Put it outermost, so that it sees what every other layer refuses. [Attached](synapse_core::Stack::attach) it counts
/// `inference.requests` by outcome (`complete`, `broken`, `dropped`; before the reply began `refused` where the caller
/// caused it, else `failed`), and the sum (in seconds; a gauge, since counters are whole numbers) and count of the times
/// to first content and to the end.
#[derive(Debug, Clone, Default)]
pub struct TraceLayer {
    counts: Arc<Counts>,
}

impl TraceLayer {
    /// Records each request.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl<S> Layer<S> for TraceLayer {
    type Service = MiddlewareService<Self, S>;

    fn layer(&self, inner: S) -> Self::Service {
        MiddlewareService::new(Arc::new(self.clone()), inner)
    }
}

impl Middleware for TraceLayer {
    async fn handle<S: InferenceService>(&self, input: Input, next: Next<S>) -> Result<Output, Error> {
        let span = span(&input);
        let started = Instant::now();
        let mut pending = Pending::new(Record::new(self.counts.clone(), span.clone(), started));
        let result = next.run(input).instrument(span).await.inspect(|output| {
            let usage = output.head.extensions().get::<UsageReport>().cloned();
            pending.tap_mut().answered(output.head.served_by(), usage);
        });
        pending.settle(result)
    }
}

fn span(input: &Input) -> Span {
    let span = tracing::info_span!(
        "inference",
        gen_ai.operation.name = input.task().as_str(),
        gen_ai.request.model = Empty,
        gen_ai.request.max_tokens = Empty,
        gen_ai.usage.input_tokens = Empty,
        gen_ai.usage.output_tokens = Empty,
        "error.type" = Empty,
        request.id = Empty,
        caller = Empty,
        miner = Empty,
        outcome = Empty,
        time_to_first_content_ms = Empty,
        duration_ms = Empty,
    );
    if span.is_disabled() {
        return span;
    }
    if let Ok(model) = input.model() {
        span.record("gen_ai.request.model", shortened(model));
    }
    if let Ok(Some(max)) = input.max_tokens() {
        span.record("gen_ai.request.max_tokens", max);
    }
    if let Some(id) = input.extensions().get::<RequestId>() {
        span.record("request.id", shortened(id.as_str()));
    }
    if let Some(caller) = input.extensions().get::<Caller>() {
        span.record("caller", shortened(caller.id().as_str()));
    }
    span
}

fn shortened(name: &str) -> &str {
    name.char_indices()
        .nth(NAME_CHARS)
        .map_or(name, |(end, _)| &name[..end])
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[async_trait]
impl Attached for TraceLayer {
    fn metrics(&self, metrics: &mut MetricsData) {
        self.counts.report(metrics);
    }
}
