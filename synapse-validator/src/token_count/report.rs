//! What a request took, for whoever wants to know.

use std::sync::{Arc, OnceLock};

use synapse_core::{Precision, TokenCount, Usage};

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
    /// Tokens that the reply was to have at most, where somebody said.
    pub most: Option<u64>,
    /// Whether a tokenizer counted all of the reply: an estimate says nothing of a claim.
    by_tokenizer: bool,
}

/// What a miner claims beside what was counted, prompt and reply together.
#[derive(Debug, Clone, Copy)]
pub(super) struct Claim {
    /// Tokens that were counted of what can be compared.
    pub(super) counted: u64,
    /// Tokens that are claimed beyond them.
    pub(super) over: u64,
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
    pub(super) fn new(
        input: TokenCount,
        output: TokenCount,
        claimed: Option<Usage>,
        most: Option<u64>,
        by_tokenizer: bool,
    ) -> Self {
        Self {
            input,
            output,
            claimed,
            most,
            by_tokenizer,
        }
    }

    /// Whether the claim is off by more than counting a text again explains: 16 tokens and 5 %, prompt or reply. Only
    /// what a tokenizer counted is compared, and of prompts those that were counted exactly.
    #[must_use]
    pub fn is_mismatch(&self) -> bool {
        self.compared()
            .any(|(claimed, counted)| claimed.abs_diff(counted) > tolerance(counted))
    }

    /// Whether the reply has more tokens than were asked for, by more than counting a text again explains. Only what a
    /// tokenizer counted is compared.
    #[must_use]
    pub fn is_too_long(&self) -> bool {
        let most = self.most.filter(|_| self.by_tokenizer);
        most.is_some_and(|most| self.output.tokens() > most.saturating_add(tolerance(most)))
    }

    /// The claim beside the count; `None` where there is nothing to compare.
    pub(super) fn claim(&self) -> Option<Claim> {
        let add = |sum: Option<Claim>, (claimed, counted): (u64, u64)| {
            let (counted_before, over_before) = sum.map_or((0, 0), |sum| (sum.counted, sum.over));
            Some(Claim {
                counted: counted_before.saturating_add(counted),
                over: over_before.saturating_add(claimed.saturating_sub(counted)),
            })
        };
        self.compared().fold(None, add)
    }

    /// What is claimed and what was counted, of the prompt and of the reply.
    fn compared(&self) -> impl Iterator<Item = (u64, u64)> {
        let claimed = self.claimed.filter(|_| self.by_tokenizer);
        let input = claimed.filter(|_| self.input.precision() == Precision::Exact);
        let input = input.map(|claimed| (claimed.input_tokens, self.input.tokens()));
        let output = claimed.map(|claimed| (claimed.output_tokens, self.output.tokens()));
        input.into_iter().chain(output)
    }
}

/// What counting a text again may make of so many tokens, more or less.
fn tolerance(tokens: u64) -> u64 {
    16 + tokens / 20
}
