//! Who asks, as the subnet knows him.

use synapse_core::{NodeId, Stake};

/// Who asks, and what he has at stake: an extension of the [`Input`](synapse_core::Input) that an access layer sets, and
/// that the queue shares its places by.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Standing {
    /// Who signed the request.
    pub node: NodeId,
    /// What he has at stake in the subnet.
    pub stake: Stake,
}

impl Standing {
    /// This node with this stake.
    #[must_use]
    pub fn new(node: NodeId, stake: Stake) -> Self {
        Self { node, stake }
    }
}
