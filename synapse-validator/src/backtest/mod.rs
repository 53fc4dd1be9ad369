//! Any policy, over epochs that were stored.
//!
//! ```
//! use synapse_core::{BlockNumber, EpochId, NodeId, SubnetId};
//! use synapse_validator::{StandardPolicy, backtest::Backtest, evidence::EpochEvidence, score::StandardSettings};
//!
//! let epochs = [EpochEvidence::new(SubnetId(7), NodeId::from("validator"), EpochId(12), BlockNumber(1200))];
//! let comparison = Backtest::new(epochs)
//!     .policy(StandardPolicy::default())
//!     .policy(StandardPolicy::new(StandardSettings::default().volume_floor(1.0)))
//!     .run();
//! println!("{comparison}");
//! ```

mod comparison;
mod table;

use std::{fmt, panic::AssertUnwindSafe, path::Path, sync::Arc};

use synapse_core::{Error, Weight};
use tracing::warn;

pub use self::comparison::{Compared, Comparison, EpochComparison, MinerComparison, PolicyName, Total};
use crate::{
    evidence::EpochEvidence,
    score::{ScorePolicy, Scores},
    state::{Stage, State},
    weights,
};

/// Runs policies over epochs, and compares what miners would have got.
///
/// [`stored`](Self::stored) takes what a validator keeps; [`new`](Self::new) takes any.
pub struct Backtest {
    epochs: Box<dyn Iterator<Item = EpochEvidence>>,
    policies: Vec<Box<dyn ScorePolicy>>,
}

impl Backtest {
    /// Takes these epochs, in this order; one at a time, so that they may be read as they are needed.
    #[must_use]
    pub fn new(epochs: impl IntoIterator<Item = EpochEvidence, IntoIter: 'static>) -> Self {
        Self {
            epochs: Box::new(epochs.into_iter()),
            policies: Vec::new(),
        }
    }

    /// Takes the closed epochs that a validator stored in `dir`, while its node may be running there. One that cannot be read
    /// is left out, and logged.
    ///
    /// # Errors
    /// As [`State::read`].
    pub fn stored(dir: impl AsRef<Path>) -> Result<Self, Error> {
        let records = State::read(dir)?.filter_map(|record| match record {
            Ok(record) => (record.stage != Stage::Open).then(|| Arc::unwrap_or_clone(record.evidence)),
            Err(error) => {
                warn!(%error, "left out an epoch");
                None
            }
        });
        Ok(Self::new(records))
    }

    /// One more policy. Others are compared with the first.
    #[must_use]
    pub fn policy(mut self, policy: impl ScorePolicy) -> Self {
        self.policies.push(Box::new(policy));
        self
    }

    /// Scores all epochs by all policies. A policy that panics, or whose scores are none, has no opinion in that epoch, and
    /// the comparison says why.
    #[must_use]
    pub fn run(self) -> Comparison {
        let names = self.policies.iter().map(|policy| PolicyName::of(&**policy));
        let mut comparison = Comparison::new(names.collect());
        for epoch in self.epochs {
            let judged = self.policies.iter().map(|policy| judge(&**policy, &epoch));
            comparison.add(&epoch, &judged.collect::<Vec<_>>());
        }
        comparison.with_totals()
    }
}

impl fmt::Debug for Backtest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let policies = self.policies.iter().map(|policy| policy.name());
        f.debug_struct("Backtest")
            .field("policies", &policies.collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

/// What a policy makes of an epoch, and the weights that a chain would have got: none where there is no opinion.
type Judged = Result<(Scores, Vec<Weight>), Error>;

fn judge(policy: &dyn ScorePolicy, epoch: &EpochEvidence) -> Judged {
    let scores = std::panic::catch_unwind(AssertUnwindSafe(|| policy.score(epoch)))
        .map_err(|payload| Error::from_panic(&*payload))?;
    scores.check(epoch)?;
    match weights::emit(&scores) {
        Ok(weights) => Ok((scores, weights.into())),
        Err(error) if error.code() == "no_weight" => Ok((scores, Vec::new())),
        Err(error) => Err(error),
    }
}
