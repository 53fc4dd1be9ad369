//! How evidence becomes scores.

use std::sync::Arc;

use super::Scores;
use crate::evidence::EpochEvidence;

/// Makes scores of an epoch's evidence.
///
/// Pure: the same evidence gives the same scores, bit for bit, today and in a [backtest](crate::backtest). So no clock, no
/// randomness, no state; and of floating point only what IEEE 754 rounds exactly: `+ - * /` and `sqrt`.
pub trait ScorePolicy: Send + Sync + 'static {
    /// A name, for records and tables.
    fn name(&self) -> &str;

    /// A number that grows whenever the same evidence would give other scores.
    fn version(&self) -> u32;

    /// The scores of all miners that `evidence` names.
    fn score(&self, evidence: &EpochEvidence) -> Scores;
}

impl<P: ScorePolicy + ?Sized> ScorePolicy for Arc<P> {
    fn name(&self) -> &str {
        (**self).name()
    }

    fn version(&self) -> u32 {
        (**self).version()
    }

    fn score(&self, evidence: &EpochEvidence) -> Scores {
        (**self).score(evidence)
    }
}
