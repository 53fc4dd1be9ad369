//! What is stored of an epoch.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use synapse_core::{BlockNumber, EpochId, Error, NodeId, OperationId, Weights};

use super::VERSION;
use crate::{evidence::EpochEvidence, score::Scores};

/// What is stored of an epoch: what was seen, what came of it, and how far it got.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct EpochRecord {
    /// The version of this shape.
    pub version: u32,
    /// How far it got.
    pub stage: Stage,
    /// The last block that was heard of when it got there.
    pub since: BlockNumber,
    /// What was seen. Never changes once the epoch is closed.
    pub evidence: Arc<EpochEvidence>,
    /// What the policy made of it.
    #[serde(default)]
    pub opinion: Option<Opinion>,
    /// Why the policy made nothing of it.
    #[serde(default)]
    pub fault: Option<String>,
    /// What is, or was, to be submitted.
    #[serde(default)]
    pub intent: Option<Intent>,
}

/// How far an epoch got.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Stage {
    /// Evidence is gathered.
    Open,
    /// No more evidence comes.
    Closed,
    /// The policy was asked.
    Scored,
    /// What will be submitted is known, and may have been sent.
    Intended,
    /// The chain has it.
    Submitted,
    /// It was not submitted while the chain took weights for it, and why.
    Missed(String),
    /// The chain refused it, and why.
    Refused(String),
    /// There was nothing to submit, and why.
    NoOpinion(String),
}

/// What a policy made of an epoch's evidence.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Opinion {
    /// The policy's name.
    pub policy: String,
    /// The policy's version.
    pub policy_version: u32,
    /// Its scores.
    pub scores: Scores,
}

/// What is to be submitted for an epoch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Intent {
    /// Under which name: sent twice, it counts once.
    pub operation: OperationId,
    /// The weights, exactly.
    pub weights: Weights,
    /// The epoch whose weights these are, where they are the last good ones rather than this epoch's.
    #[serde(default)]
    pub from_epoch: Option<EpochId>,
}

impl EpochRecord {
    /// An epoch that is open.
    #[must_use]
    pub fn open(evidence: impl Into<Arc<EpochEvidence>>) -> Self {
        let evidence = evidence.into();
        Self {
            version: VERSION,
            stage: Stage::Open,
            since: evidence.from,
            evidence,
            opinion: None,
            fault: None,
            intent: None,
        }
    }

    /// Which epoch it is.
    #[must_use]
    pub fn epoch(&self) -> EpochId {
        self.evidence.epoch
    }

    /// The weight of a miner, where one was to be submitted.
    #[must_use]
    pub fn weight(&self, miner: &NodeId) -> Option<u16> {
        let weights = self.intent.as_ref()?.weights.as_slice();
        let at = weights.binary_search_by(|weight| weight.node.cmp(miner)).ok()?;
        Some(weights[at].value)
    }

    /// What became of it: `submitted`, `pending`, or why it was not submitted.
    #[must_use]
    pub fn outcome(&self) -> String {
        match &self.stage {
            Stage::Open | Stage::Closed | Stage::Scored | Stage::Intended => "pending".to_owned(),
            Stage::Submitted => "submitted".to_owned(),
            Stage::Missed(why) => format!("missed: {why}"),
            Stage::Refused(why) => format!("refused: {why}"),
            Stage::NoOpinion(why) => format!("no opinion: {why}"),
        }
    }

    /// Whether a policy scored it.
    pub(super) fn is_scored(&self) -> bool {
        self.opinion.is_some()
    }

    /// The same, a stage further.
    pub(crate) fn reach(&mut self, stage: Stage, block: BlockNumber) {
        self.stage = stage;
        self.since = block.max(self.since);
    }

    /// Whether this may take `before`'s place.
    ///
    /// # Errors
    /// `epoch_closed`.
    pub(super) fn may_replace(&self, before: &Self) -> Result<(), Error> {
        let is_same = || Arc::ptr_eq(&self.evidence, &before.evidence) || self.evidence == before.evidence;
        if before.stage == Stage::Open || (self.stage != Stage::Open && is_same()) {
            return Ok(());
        }
        Err(Error::internal(
            "epoch_closed",
            format!(
                "what was seen in epoch {} is closed, and cannot change",
                self.epoch()
            ),
        ))
    }
}

impl Stage {
    /// Whether something is left to do.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        !matches!(self, Self::Open | Self::Closed | Self::Scored | Self::Intended)
    }

    /// The stage's word: `no_opinion`.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Closed => "closed",
            Self::Scored => "scored",
            Self::Intended => "intended",
            Self::Submitted => "submitted",
            Self::Missed(_) => "missed",
            Self::Refused(_) => "refused",
            Self::NoOpinion(_) => "no_opinion",
        }
    }
}
