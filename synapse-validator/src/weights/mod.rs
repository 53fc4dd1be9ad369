//! From scores to the weights that a chain takes.

mod limit;

use synapse_core::{EpochId, Error, NodeId, OperationId, SubnetId, Weights};

pub use self::limit::limit;
use crate::score::{Scores, bad_scores};

/// The weights of scores: each over the largest, times 65,535, rounded half to even; zeros are left out, and so is whoever
/// has no score.
///
/// # Errors
/// `no_weight` where no score is above zero: an epoch without evidence has no opinion, and zeros would be one. `bad_scores`
/// where one is negative or no number.
pub fn emit(scores: &Scores) -> Result<Weights, Error> {
    let mut largest = 0.0_f64;
    for score in scores.as_slice() {
        if let Some(estimate) = &score.estimate {
            estimate
                .check()
                .map_err(|fault| bad_scores(&score.miner, &fault))?;
            largest = largest.max(estimate.value);
        }
    }
    // Without a largest all are 0/0, which is no number and becomes 0: what `Weights` refuses.
    Weights::new(scores.as_slice().iter().filter_map(|score| {
        let weight = to_weight(score.value() / largest);
        (weight > 0).then(|| (score.miner.clone(), weight))
    }))
}

/// The one name of what a validator submits for an epoch: however often it is sent, it counts once.
#[must_use]
pub fn operation(subnet: SubnetId, validator: &NodeId, epoch: EpochId) -> OperationId {
    OperationId::from(format!("weights/{subnet}/{validator}/{epoch}"))
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "from 0 to 65,535"
)]
fn to_weight(part: f64) -> u16 {
    (part * f64::from(u16::MAX)).round_ties_even() as u16
}
