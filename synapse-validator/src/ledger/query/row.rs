//! A request as it is shown.

use serde::Serialize;
use synapse_core::{CallerId, KeyId, Micros, NodeId, Precision, RequestId, TokenCount};

use crate::ledger::{EntryId, Opening, Outcome, PriceVersion, UnixMillis, record::Entry};

/// A request: all that its rows say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Row {
    /// Its place in the ledger.
    pub entry: EntryId,
    /// When it came.
    pub began: UnixMillis,
    /// When it ended; not yet, where there is none.
    pub ended: Option<UnixMillis>,
    /// Its id, which is its client's to repeat.
    pub request: RequestId,
    /// Who asked.
    pub caller: Option<CallerId>,
    /// With which key.
    pub key: Option<KeyId>,
    /// For which model.
    pub model: String,
    /// Who served it.
    pub miner: Option<NodeId>,
    /// Tokens of its prompt, as we counted them.
    pub prompt_tokens: u64,
    /// Tokens of its reply, as we counted them.
    pub completion_tokens: u64,
    /// Tokens that its reply was let in with; 0 where nobody said.
    #[serde(skip)]
    pub(crate) most_completion: u64,
    /// Whether both counts are the model's own.
    pub is_exact: bool,
    /// Tokens of its prompt, as the miner said.
    pub claimed_prompt_tokens: Option<u64>,
    /// Tokens of its reply, as the miner said.
    pub claimed_completion_tokens: Option<u64>,
    /// Events of its reply that were handed on.
    pub events: u64,
    /// By which prices it was charged.
    pub price: Option<PriceVersion>,
    /// What was held for it, in millionths.
    pub hold: Micros,
    /// What it cost, in millionths.
    pub charge: Micros,
    /// Until its first content, in milliseconds.
    pub first_ms: Option<u64>,
    /// Until its end, in milliseconds.
    pub total_ms: Option<u64>,
    /// What became of it: nothing yet, where there is none.
    pub outcome: Option<Outcome>,
}

impl Row {
    pub(super) fn over(entry: Entry) -> Self {
        let closing = entry.closing;
        Self {
            ended: Some(closing.at),
            miner: closing.miner,
            prompt_tokens: closing.prompt.tokens(),
            completion_tokens: closing.completion.tokens(),
            is_exact: closing.prompt.plus(closing.completion).precision() == Precision::Exact,
            claimed_prompt_tokens: closing.claimed.map(|claimed| claimed.input_tokens),
            claimed_completion_tokens: closing.claimed.map(|claimed| claimed.output_tokens),
            events: closing.events,
            charge: closing.charge,
            first_ms: closing.first_ms,
            total_ms: Some(closing.total_ms),
            outcome: Some(closing.outcome),
            ..Self::open(closing.entry, entry.opening)
        }
    }

    pub(super) fn open(entry: EntryId, opening: Opening) -> Self {
        let count: TokenCount = opening.prompt;
        Self {
            entry,
            began: opening.at,
            ended: None,
            request: opening.request,
            caller: opening.caller,
            key: opening.key,
            model: opening.model,
            miner: None,
            prompt_tokens: count.tokens(),
            completion_tokens: 0,
            most_completion: opening.most_completion,
            is_exact: count.precision() == Precision::Exact,
            claimed_prompt_tokens: None,
            claimed_completion_tokens: None,
            events: 0,
            price: opening.price,
            hold: opening.hold,
            charge: Micros::ZERO,
            first_ms: None,
            total_ms: None,
            outcome: None,
        }
    }
}
