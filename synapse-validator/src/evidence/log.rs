//! Evidence as it comes in.

use std::sync::Arc;

use synapse_core::{
    BlockNumber, EpochId, Member, NodeId, SubnetId,
    probe::{Answer, Finding},
};

use super::EpochEvidence;
use crate::pool::{Sighting, Witness};

/// Takes evidence in, for the epoch that is open. A clone is the same log.
///
/// Give it to the pool ([`MinerPool::witness`](crate::MinerPool::witness)), which tells it how users' requests went, and to
/// the [`ValidatorNode`](crate::ValidatorNode), which asks probes and closes epochs.
#[derive(Debug, Clone, Default)]
pub struct EvidenceLog(Arc<()>);

impl EvidenceLog {
    /// An empty log. It takes nothing in before an epoch is open.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Opens an epoch, with what was stored of it before a restart, and gives back the one that was open. What comes in from
    /// now on belongs to the new one.
    pub fn open(&self, evidence: EpochEvidence) -> Option<EpochEvidence> {
        let _ = evidence;
        None
    }

    /// What is known of the open epoch, as it is now.
    #[must_use]
    pub fn snapshot(&self) -> Option<EpochEvidence> {
        None
    }

    /// The last block that was seen.
    pub fn seen(&self, block: BlockNumber) {
        let _ = block;
    }

    /// A miner that is judged in this epoch, or why it is not.
    pub fn member(&self, member: &Member, refused: Option<String>) {
        let _ = (member, refused);
    }

    /// How a miner answered a probe.
    pub fn probed(&self, miner: &NodeId, answer: &Answer, findings: &[Finding]) {
        let _ = (miner, answer, findings);
    }

    /// A measure of your own, of a miner, which replaces the one of this name. One that is not finite is left out, and
    /// logged.
    pub fn measured(&self, miner: &NodeId, name: &str, value: f64) {
        let _ = (miner, name, value);
    }

    /// The open epoch.
    #[must_use]
    pub fn epoch(&self) -> Option<(SubnetId, EpochId)> {
        None
    }
}

impl Witness for EvidenceLog {
    fn saw(&self, sighting: &Sighting) {
        let _ = sighting;
    }
}
