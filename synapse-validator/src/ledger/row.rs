//! What the ledger says of a request.

use serde::{Deserialize, Serialize};
use synapse_core::{CallerId, KeyId, Micros, NodeId, OperationId, RequestId, TokenCount, Usage};

/// Milliseconds since 1970, UTC.
pub type UnixMillis = u64;

/// One request in the ledger: the place of its opening row. A request id is the client's to repeat, this is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EntryId(pub u64);

/// The version of a price book by which a request is charged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PriceVersion(pub u32);

/// A request that was let in: written before the head of its reply is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Opening {
    /// When it came.
    pub at: UnixMillis,
    /// Which request it is.
    pub request: RequestId,
    /// Who asks; nobody where the door could not tell.
    pub caller: Option<CallerId>,
    /// With which key.
    pub key: Option<KeyId>,
    /// For which model.
    pub model: String,
    /// The prompt, as we counted it.
    pub prompt: TokenCount,
    /// Tokens that its replies may have, all together.
    pub most_completion: u64,
    /// By which prices; none where it costs nothing.
    pub price: Option<PriceVersion>,
    /// What was taken from the balance for as long as it goes on.
    pub hold: Micros,
}

impl Opening {
    /// A request for this model that came at this time: nobody's, for nothing, with a prompt of no tokens. The fields say
    /// the rest.
    pub fn new(at: UnixMillis, request: RequestId, model: impl Into<String>) -> Self {
        Self {
            at,
            request,
            caller: None,
            key: None,
            model: model.into(),
            prompt: TokenCount::exact(0),
            most_completion: 0,
            price: None,
            hold: Micros::ZERO,
        }
    }
}

/// How a request ended: written before the last event of its reply is sent, or once it is clear that there will be none.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Closing {
    /// Of which opening.
    pub entry: EntryId,
    /// When it ended.
    pub at: UnixMillis,
    /// Who served it, where somebody did.
    pub miner: Option<NodeId>,
    /// The prompt, as we counted it.
    pub prompt: TokenCount,
    /// The reply as far as it was handed on, as we counted it.
    pub completion: TokenCount,
    /// What the miner said that it took.
    pub claimed: Option<Usage>,
    /// Events that were handed on.
    pub events: u64,
    /// What it costs.
    pub charge: Micros,
    /// From its coming until the first content, in milliseconds; none where there was none.
    pub first_ms: Option<u64>,
    /// From its coming to its end, in milliseconds.
    pub total_ms: u64,
    /// What became of it.
    pub outcome: Outcome,
}

impl Closing {
    /// An end at this time: nobody served it, nothing was delivered, and it costs nothing. The fields say the rest.
    #[must_use]
    pub fn new(entry: EntryId, at: UnixMillis, outcome: Outcome) -> Self {
        Self {
            entry,
            at,
            miner: None,
            prompt: TokenCount::exact(0),
            completion: TokenCount::exact(0),
            claimed: None,
            events: 0,
            charge: Micros::ZERO,
            first_ms: None,
            total_ms: 0,
            outcome,
        }
    }
}

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Outcome {
    /// The reply was handed on whole.
    Complete,
    /// The reply broke off, with this code.
    Broken(String),
    /// The client left.
    Left,
    /// There was no reply, with this code.
    Failed(String),
    /// This process ended while it went on; nothing is charged.
    Interrupted,
}

/// Money that a caller paid in.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TopUp {
    /// Which payment it is: the same one twice counts once.
    pub operation: OperationId,
    /// When it was entered.
    pub at: UnixMillis,
    /// Whose balance grows.
    pub caller: CallerId,
    /// By how much.
    pub amount: Micros,
    /// What the operator noted, such as an invoice's number.
    pub note: String,
}

impl TopUp {
    /// So much for this caller, entered at this time, without a note.
    pub fn new(operation: OperationId, at: UnixMillis, caller: impl Into<CallerId>, amount: Micros) -> Self {
        Self {
            operation,
            at,
            caller: caller.into(),
            amount,
            note: String::new(),
        }
    }
}

impl Outcome {
    /// The outcome's word: `complete`.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Broken(_) => "broken",
            Self::Left => "left",
            Self::Failed(_) => "failed",
            Self::Interrupted => "interrupted",
        }
    }

    /// The code with which it broke off or failed.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Broken(code) | Self::Failed(code) => Some(code),
            Self::Complete | Self::Left | Self::Interrupted => None,
        }
    }
}
