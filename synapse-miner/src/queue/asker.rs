//! Whose request it is.

use synapse_core::{Caller, CallerId, Input, NodeId};

use super::Priority;
use crate::access::Standing;

/// Whose share a request is taken from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Asker {
    /// A member of the subnet.
    Node(NodeId),
    /// Whom the door named, where nobody said what he has at stake.
    Caller(CallerId),
    /// All whom nobody named.
    Anybody,
    /// All who came when as many as can be told apart were known.
    Others,
}

impl Asker {
    /// Its name for people.
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Node(node) => node.as_str(),
            Self::Caller(caller) => caller.as_str(),
            Self::Anybody => "anybody",
            Self::Others => "others",
        }
    }
}

/// One request, as far as the line is concerned.
#[derive(Debug, Clone)]
pub(super) struct Claim {
    pub(super) asker: Asker,
    pub(super) stake: u64,
    pub(super) priority: Priority,
    /// What it takes, in tokens, more or less; at least 1.
    pub(super) cost: u64,
}

impl Claim {
    /// What `input` says of itself, and a `cost` that was estimated.
    pub(super) fn of(input: &Input, cost: u64) -> Self {
        let extensions = input.extensions();
        let (asker, stake) = match (extensions.get::<Standing>(), extensions.get::<Caller>()) {
            (Some(standing), _) => (Asker::Node(standing.node.clone()), standing.stake.0),
            (None, Some(caller)) => (Asker::Caller(caller.id().clone()), 0),
            (None, None) => (Asker::Anybody, 0),
        };
        Self {
            asker,
            stake,
            priority: extensions.get::<Priority>().copied().unwrap_or_default(),
            cost: cost.max(1),
        }
    }
}
