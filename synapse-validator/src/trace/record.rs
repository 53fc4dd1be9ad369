//! One request, recorded.

use std::sync::Arc;

use synapse_core::{Ending, NodeId, Tap};
use tokio::time::Instant;
use tracing::Span;

use super::{
    millis,
    outcome::{Counts, Outcome},
};
use crate::token_count::UsageReport;

/// One request, recorded when it ends.
pub(super) struct Record {
    counts: Arc<Counts>,
    span: Span,
    started: Instant,
    answered: bool,
    usage: Option<UsageReport>,
}

impl Record {
    pub(super) fn new(counts: Arc<Counts>, span: Span, started: Instant) -> Self {
        Self {
            counts,
            span,
            started,
            answered: false,
            usage: None,
        }
    }

    /// The reply began.
    pub(super) fn answered(&mut self, miner: Option<&NodeId>, usage: Option<UsageReport>) {
        let after = self.started.elapsed();
        self.answered = true;
        self.usage = usage;
        self.counts.first_content(after);
        self.span.record("time_to_first_content_ms", millis(after));
        if let Some(miner) = miner {
            self.span.record("miner", miner.as_str());
        }
    }
}

impl Tap for Record {
    fn on_end(&mut self, ending: &Ending) {
        let duration = self.started.elapsed();
        let outcome = Outcome::of(ending, self.answered);
        self.counts.ended(outcome, duration);
        self.span.record("outcome", outcome.as_str());
        self.span.record("duration_ms", millis(duration));
        // Filled by now: the counting layer is further in, so its tap was told first.
        if let Some(usage) = self.usage.as_ref().and_then(UsageReport::get) {
            self.span
                .record("gen_ai.usage.input_tokens", usage.input.tokens());
            self.span
                .record("gen_ai.usage.output_tokens", usage.output.tokens());
        }
        let _entered = self.span.enter();
        match ending {
            Ending::Broken(error) => {
                self.span.record("error.type", error.code());
                // Not its message: a miner may have put anything into that.
                tracing::info!(code = error.code(), kind = ?error.kind(), "request {}", outcome.as_str());
            }
            _ => tracing::info!("request {}", outcome.as_str()),
        }
    }
}
