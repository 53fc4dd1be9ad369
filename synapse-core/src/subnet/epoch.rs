//! The rhythm of a subnet, and its rules.

use serde::{Deserialize, Serialize};

use crate::{BlockNumber, EpochId, Stake};

/// The current epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Epoch {
    /// Its number.
    pub id: EpochId,
    /// What it is time for.
    pub phase: Phase,
    /// Its first block.
    pub starts: BlockNumber,
    /// The first block after it.
    pub ends: BlockNumber,
}

impl Epoch {
    /// The epoch of blocks `starts..ends`.
    #[must_use]
    pub fn new(id: EpochId, phase: Phase, starts: BlockNumber, ends: BlockNumber) -> Self {
        Self {
            id,
            phase,
            starts,
            ends,
        }
    }
}

/// What an epoch is in time for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Phase {
    /// Requests are served and observed.
    Serving,
    /// Weights for this epoch are taken.
    Weighing,
}

/// The rules of a subnet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SubnetParams {
    /// Blocks of an epoch, ≥ 2.
    pub epoch_blocks: u64,
    /// Blocks at the end of an epoch in which weights are taken, ≥ 1 and < `epoch_blocks`.
    pub weighing_blocks: u64,
    /// Most members, ≤ [`MOST_MEMBERS`](Self::MOST_MEMBERS).
    pub max_members: usize,
    /// Least stake of a member.
    pub min_stake: Stake,
    /// Least stake of a validator that sets weights.
    pub min_validator_stake: Stake,
    /// What a registration costs beside the stake. It is burned. Without one it costs nothing to leave, register again
    /// and be new once more, with the immunity of those who are.
    pub registration_fee: Stake,
    /// Blocks after its registration in which nobody takes a member's place.
    pub immunity_blocks: u64,
    /// What is paid out at the end of an epoch that has weights.
    pub emission: Stake,
}

impl SubnetParams {
    /// The most members that a subnet may have. A member is written in less than a KiB, and so a whole directory in less
    /// than 16 MiB.
    pub const MOST_MEMBERS: usize = 16_384;

    /// The same with epochs of `blocks` blocks, the last `weighing` of which take weights.
    #[must_use]
    pub fn with_epochs(mut self, blocks: u64, weighing: u64) -> Self {
        (self.epoch_blocks, self.weighing_blocks) = (blocks, weighing);
        self
    }

    /// The same with at most `members` members.
    #[must_use]
    pub fn with_max_members(mut self, members: usize) -> Self {
        self.max_members = members;
        self
    }

    /// The same where members stake at least `member`, and validators that set weights `validator`.
    #[must_use]
    pub fn with_min_stakes(mut self, member: Stake, validator: Stake) -> Self {
        (self.min_stake, self.min_validator_stake) = (member, validator);
        self
    }

    /// The same where a registration burns `fee`.
    #[must_use]
    pub fn with_registration_fee(mut self, fee: Stake) -> Self {
        self.registration_fee = fee;
        self
    }

    /// The same where a member keeps its place for `blocks` blocks after its registration.
    #[must_use]
    pub fn with_immunity(mut self, blocks: u64) -> Self {
        self.immunity_blocks = blocks;
        self
    }

    /// The same where an epoch pays out `amount`.
    #[must_use]
    pub fn with_emission(mut self, amount: Stake) -> Self {
        self.emission = amount;
        self
    }
}

impl Default for SubnetParams {
    /// 100 blocks an epoch, the last 20 of which take weights; 256 members; no least stake, no fee and no
    /// emission; a member keeps its place for 100 blocks.
    fn default() -> Self {
        Self {
            epoch_blocks: 100,
            weighing_blocks: 20,
            max_members: 256,
            min_stake: Stake(0),
            min_validator_stake: Stake(0),
            registration_fee: Stake(0),
            immunity_blocks: 100,
            emission: Stake(0),
        }
    }
}
