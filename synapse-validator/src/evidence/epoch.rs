//! What a validator saw in an epoch.

use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use synapse_core::{BlockNumber, EpochId, NodeId, SubnetId};

use super::MinerEvidence;

/// What a validator saw in an epoch: what scores are made of, and nothing else.
///
/// As JSON the same evidence is the same bytes. What is absent there is nothing seen; a field that is unknown, a count that is
/// negative or a measure that is no number is an error, which names it.
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
    #[serde(deserialize_with = "sorted")]
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

/// In the order that [`EpochEvidence::miner`] relies on, whoever wrote the file.
fn sorted<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<MinerEvidence>, D::Error> {
    let mut miners = Vec::<MinerEvidence>::deserialize(deserializer)?;
    miners.sort_by(|a, b| a.miner.cmp(&b.miner));
    match miners.windows(2).find(|pair| pair[0].miner == pair[1].miner) {
        Some(twice) => Err(D::Error::custom(format!(
            "the evidence names the miner {} twice",
            twice[0].miner
        ))),
        None => Ok(miners),
    }
}
