//! How a validator and its miners do, for people and machines.

use serde::{Deserialize, Serialize};
use synapse_core::{BlockNumber, Epoch, EpochId, NodeId, Stake, SubnetId};

use super::Alert;
use crate::score::Estimate;

/// How a validator and its miners do now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ValidatorStatus {
    /// Of which subnet.
    pub subnet: SubnetId,
    /// Who says so.
    pub validator: NodeId,
    /// The chain's epoch and its phase; `None` until the chain said it.
    pub epoch: Option<Epoch>,
    /// The last block that was heard of. A chain need not tell of every one.
    pub block: BlockNumber,
    /// Blocks until the epoch ends, from that one.
    pub blocks_left: u64,
    /// Which epoch evidence is gathered for.
    pub gathering: Option<EpochId>,
    /// Members of the subnet.
    pub members: usize,
    /// Whether this validator may set weights.
    pub standing: Standing,
    /// The policy's name.
    pub policy: String,
    /// The policy's version.
    pub policy_version: u32,
    /// The last epoch that was scored.
    pub scored: Option<EpochId>,
    /// What became of the last epoch that is over.
    pub last: Option<LastEpoch>,
    /// The miners, sorted by name.
    pub miners: Vec<MinerStatus>,
    /// What the operator should know, and that is not over.
    pub alerts: Vec<Alert>,
}

/// Whether a validator may set weights.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Standing {
    /// Whether it is a member, as a validator.
    pub is_member: bool,
    /// What it staked.
    pub stake: Stake,
    /// What the subnet asks for.
    pub needed: Stake,
}

/// What became of an epoch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LastEpoch {
    /// Which.
    pub epoch: EpochId,
    /// `submitted`, `pending`, or why its weights were not submitted.
    pub outcome: String,
    /// The block at which that was known.
    pub block: BlockNumber,
    /// How many miners got a weight.
    pub weights: usize,
}

/// How one miner does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct MinerStatus {
    /// Who it is.
    pub node: NodeId,
    /// Whether it can be asked.
    pub state: MinerState,
    /// Why it was not admitted.
    pub why: Option<String>,
    /// Its score of the last epoch that was scored, with its interval; `None` without an opinion.
    pub score: Option<Estimate>,
    /// The weight that was made of it.
    pub weight: Option<u16>,
    /// That weight's part of all weights, in millionths.
    pub share_ppm: Option<u32>,
    /// The first reason for its score.
    pub reason: Option<String>,
    /// Requests of the epoch that is open: probes and users' together.
    pub asked: u64,
    /// Of those, replies that were whole.
    pub answered: u64,
    /// Of those, failures.
    pub failed: u64,
    /// Tokens of the replies.
    pub output_tokens: u64,
    /// The median time to the first content, in microseconds.
    pub first_content_us: Option<u64>,
    /// The median speed, in thousandths of a token a second.
    pub speed_mtps: Option<u64>,
    /// Whole seconds since it was last seen to answer; `None` where this run never saw that.
    pub seen_secs_ago: Option<u64>,
}

/// Whether a miner can be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum MinerState {
    /// It can.
    Ready,
    /// It does not answer, or says that it is unhealthy.
    NotReady,
    /// It is a member, and this validator does not judge it.
    NotAdmitted,
    /// It was a member in this epoch, and is none any more.
    Left,
}

impl ValidatorStatus {
    /// A validator of which nothing is known yet.
    #[must_use]
    pub fn new(subnet: SubnetId, validator: NodeId) -> Self {
        Self {
            subnet,
            validator,
            epoch: None,
            block: BlockNumber::default(),
            blocks_left: 0,
            gathering: None,
            members: 0,
            standing: Standing::default(),
            policy: String::new(),
            policy_version: 0,
            scored: None,
            last: None,
            miners: Vec::new(),
            alerts: Vec::new(),
        }
    }
}

impl Standing {
    /// Whether it may set weights.
    #[must_use]
    pub fn may_weigh(&self) -> bool {
        self.is_member && self.stake >= self.needed
    }
}

impl MinerStatus {
    pub(super) fn new(node: NodeId, state: MinerState) -> Self {
        Self {
            node,
            state,
            why: None,
            score: None,
            weight: None,
            share_ppm: None,
            reason: None,
            asked: 0,
            answered: 0,
            failed: 0,
            output_tokens: 0,
            first_content_us: None,
            speed_mtps: None,
            seen_secs_ago: None,
        }
    }
}
