//! What a validator tells a miner of its score, and everybody of the subnet.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::{EpochId, Error, NodeId, SubnetId};

/// One reason for a score.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Reason {
    /// A stable word: `availability`, `first_content`, `speed`, `volume`, `claims`, or one of an author's own.
    pub code: String,
    /// What the score was multiplied with, where it is a product.
    pub factor: Option<f64>,
    /// What was seen, for people: `answered 17 of 20 users' requests`.
    pub text: String,
}

impl Reason {
    /// A reason without a factor.
    pub fn new(code: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            code: code.into(),
            factor: None,
            text: text.into(),
        }
    }

    /// The same with the factor that it came to.
    #[must_use]
    pub fn with_factor(mut self, factor: f64) -> Self {
        self.factor = Some(factor);
        self
    }
}

/// Why a miner earned what it earned: its score of an epoch, what it was made of, and what became of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ScoreReport {
    /// Of which subnet.
    pub subnet: SubnetId,
    /// Who judged.
    pub validator: NodeId,
    /// Of which epoch.
    pub epoch: EpochId,
    /// Who was judged.
    pub miner: NodeId,
    /// The policy's name and version.
    pub policy: String,
    /// The policy's version.
    pub policy_version: u32,
    /// The score; `None` where too little was seen to have an opinion.
    pub score: Option<f64>,
    /// Where the score most likely lies; how likely, the policy says: from here …
    pub low: Option<f64>,
    /// … to here.
    pub high: Option<f64>,
    /// The weight that was made of it; `None` where none was.
    pub weight: Option<u16>,
    /// What became of the epoch's weights: `submitted`, `pending`, or why they were not submitted.
    pub outcome: String,
    /// Why, most telling first.
    pub reasons: Vec<Reason>,
    /// What the validator saw of the miner, as its policy got it. Callers are numbered, not named.
    pub evidence: serde_json::Value,
}

/// How the miners of a subnet do, for whoever wants to join them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SubnetSummary {
    /// Of which subnet.
    pub subnet: SubnetId,
    /// Who says so.
    pub validator: NodeId,
    /// Of which epoch.
    pub epoch: EpochId,
    /// How many miners had a score above zero.
    pub miners: usize,
    /// The median of their median times to the first content, in microseconds.
    pub first_content_us: Option<u64>,
    /// The median of their median speeds, in thousandths of a token a second, at four bytes a token.
    pub speed_mtps: Option<u64>,
}

impl ScoreReport {
    /// A report without an opinion, to be filled in.
    pub fn new(subnet: SubnetId, validator: NodeId, epoch: EpochId, miner: NodeId) -> Self {
        Self {
            subnet,
            validator,
            epoch,
            miner,
            policy: String::new(),
            policy_version: 0,
            score: None,
            low: None,
            high: None,
            weight: None,
            outcome: String::new(),
            reasons: Vec::new(),
            evidence: serde_json::Value::Null,
        }
    }
}

impl SubnetSummary {
    /// A summary of nobody, to be filled in.
    #[must_use]
    pub fn new(subnet: SubnetId, validator: NodeId, epoch: EpochId) -> Self {
        Self {
            subnet,
            validator,
            epoch,
            miners: 0,
            first_content_us: None,
            speed_mtps: None,
        }
    }
}

/// Where a validator keeps what it thinks of its miners.
#[async_trait]
pub trait ScoreBook: Send + Sync + 'static {
    /// One miner's report; of the last epoch that was scored where `epoch` names none.
    ///
    /// # Errors
    /// `no_such_epoch` where it was not scored, or is not kept any more; `unknown_miner` where it was not judged then.
    async fn report(&self, miner: &NodeId, epoch: Option<EpochId>) -> Result<ScoreReport, Error>;

    /// How the subnet's miners did in the last epoch that was scored.
    ///
    /// # Errors
    /// `no_such_epoch` where none was scored yet.
    async fn summary(&self) -> Result<SubnetSummary, Error>;
}
