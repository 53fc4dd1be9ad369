//! What a request took, for whoever wants to know.

use std::sync::{Arc, OnceLock};

use synapse_core::{TokenCount, Usage};

/// What a request took: an extension of the output's head that is filled when the body ends.
///
/// A layer outside the [`TokenCountLayer`](super::TokenCountLayer) finds it filled in the ending of its own tap.
#[derive(Debug, Clone, Default)]
pub struct UsageReport(Arc<OnceLock<CountedUsage>>);

/// What a request took, as we counted it and as the miner claims it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct CountedUsage {
    /// Tokens of the prompt.
    pub input: TokenCount,
    /// Tokens of the reply, as far as it came.
    pub output: TokenCount,
    /// What the miner says, where it does.
    pub claimed: Option<Usage>,
}

impl UsageReport {
    /// The counts; `None` while the body goes on.
    #[must_use]
    pub fn get(&self) -> Option<CountedUsage> {
        self.0.get().copied()
    }

    pub(super) fn fill(&self, usage: CountedUsage) {
        // A body ends once, so nobody filled it before.
        let _ = self.0.set(usage);
    }
}

impl CountedUsage {
    pub(super) fn new(input: TokenCount, output: TokenCount, claimed: Option<Usage>) -> Self {
        Self {
            input,
            output,
            claimed,
        }
    }

    /// Whether the claim is off by more than counting a text again explains: 16 tokens and 5 %, prompt or reply.
    #[must_use]
    pub fn is_mismatch(&self) -> bool {
        let off = |claimed: u64, counted: TokenCount| {
            let tokens = counted.tokens();
            claimed.abs_diff(tokens) > 16 + tokens / 20
        };
        self.claimed.is_some_and(|claimed| {
            off(claimed.input_tokens, self.input) || off(claimed.output_tokens, self.output)
        })
    }
}
