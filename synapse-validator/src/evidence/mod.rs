//! What a validator saw of its miners in an epoch.
//!
//! Numbers are integers, and times are counted in buckets: what was stored gives the same scores again, bit for bit.

mod distribution;
mod entry;
mod epoch;
mod log;
mod miner;

pub(crate) use self::log::Gathered;
pub use self::{
    distribution::Distribution,
    epoch::EpochEvidence,
    log::EvidenceLog,
    miner::{ClaimTally, MinerEvidence, Tally},
};
