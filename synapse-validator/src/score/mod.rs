//! From evidence to scores, with reasons.

mod policy;
mod scores;
mod standard;

pub use synapse_core::Reason;

pub(crate) use self::scores::bad_scores;
pub use self::{
    policy::ScorePolicy,
    scores::{Estimate, Score, Scores},
    standard::{StandardPolicy, StandardSettings},
};
