//! What a validator saw in an epoch.

use serde::{Deserialize, Serialize};
use synapse_core::{BlockNumber, EpochId, NodeId, SubnetId};

use super::MinerEvidence;

/// What a validator saw in an epoch: what scores are made of, and nothing else.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct EpochEvidence {
    /// Of which subnet.
    pub subnet: SubnetId,
    /// Who saw it.
    pub validator: NodeId,
    /// In which epoch: from the block at which weights for the epoch before were first taken.
    pub epoch: EpochId,
    /// The first block of it that was seen.
    pub from: BlockNumber,
    /// The last block of it that was seen.
    pub to: BlockNumber,
    /// How often this validator was away meanwhile. What it had seen in its last seconds before is lost.
    #[serde(default)]
    pub interruptions: u32,
    /// The miners, sorted by name, each once.
    pub miners: Vec<MinerEvidence>,
}

impl EpochEvidence {
    /// Nothing seen yet.
    #[must_use]
    pub fn new(subnet: SubnetId, validator: NodeId, epoch: EpochId, from: BlockNumber) -> Self {
        Self {
            subnet,
            validator,
            epoch,
            from,
            to: from,
            interruptions: 0,
            miners: Vec::new(),
        }
    }

    /// What was seen of one miner.
    #[must_use]
    pub fn miner(&self, node: &NodeId) -> Option<&MinerEvidence> {
        self.miners
            .binary_search_by(|miner| miner.miner.cmp(node))
            .ok()
            .map(|at| &self.miners[at])
    }
}
