//! The policy of a subnet that has none of its own.

use super::{ScorePolicy, Scores};
use crate::evidence::EpochEvidence;

/// The policy of a subnet that has none of its own.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct StandardPolicy {}

impl ScorePolicy for StandardPolicy {
    fn name(&self) -> &str {
        "standard"
    }

    fn version(&self) -> u32 {
        1
    }

    fn score(&self, evidence: &EpochEvidence) -> Scores {
        let _ = evidence;
        Scores::default()
    }
}
