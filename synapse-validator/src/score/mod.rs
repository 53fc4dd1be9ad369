//! From evidence to scores, with reasons.

mod policy;
mod scores;
mod standard;

pub use synapse_core::Reason;

pub use self::{
    policy::ScorePolicy,
    scores::{Estimate, Score, Scores},
    standard::StandardPolicy,
};
