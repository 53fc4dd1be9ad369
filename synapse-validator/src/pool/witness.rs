//! Who is told how each request to a member went.

use std::time::Duration;

use synapse_core::{CallerId, NodeId};

/// Is told how each request to each member went: once it ended, however it did.
///
/// Runs where the reply's body is polled, so it must be quick and must not block.
pub trait Witness: Send + Sync + 'static {
    /// A request to a member ended.
    fn saw(&self, sighting: &Sighting);
}

/// One request to one member: of a request that was tried with three members there are three.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Sighting {
    /// Who was asked.
    pub miner: NodeId,
    /// Who wanted to know, where that is known.
    pub caller: Option<CallerId>,
    /// Whether it was asked of [this member alone](super::Only), as probes are.
    pub only: bool,
    /// From asking to the first content.
    pub first_content: Option<Duration>,
    /// From asking to the end.
    pub total: Duration,
    /// Bytes of text in the reply.
    pub text_bytes: u64,
    /// How it went.
    pub outcome: Outcome,
}

/// How a request to a member went.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// The reply was whole.
    Answered,
    /// It failed, with an error of this code.
    Failed(String),
    /// It was refused as the caller's fault, or the caller's deadline ran out: nobody's failure.
    Refused(String),
    /// Its client left, or another attempt won.
    Dropped,
}
