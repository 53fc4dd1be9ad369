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
    /// Where it most likely lies, by another validator's evidence too; how likely, the policy says: from here …
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
        if let Some(twice) = self.0.windows(2).find(|pair| pair[0].miner == pair[1].miner) {
            return Err(bad_scores(&twice[0].miner, "it is scored twice"));
        }
        for score in &self.0 {
            if evidence.miner(&score.miner).is_none() {
                return Err(bad_scores(&score.miner, "the evidence does not name it"));
            }
            if let Some(estimate) = &score.estimate {
                estimate
                    .check()
                    .map_err(|fault| bad_scores(&score.miner, &fault))?;
            }
        }
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

    /// Says what is wrong with it.
    pub(crate) fn check(&self) -> Result<(), String> {
        let Self { value, low, high } = *self;
        if !(value.is_finite() && low.is_finite() && high.is_finite()) {
            return Err(format!("{value} from {low} to {high} is not finite"));
        }
        if value < 0.0 || low < 0.0 {
            return Err(format!("{value} from {low} to {high} is below zero"));
        }
        if low > value || value > high {
            return Err(format!("{value} is not within its interval, {low} to {high}"));
        }
        Ok(())
    }
}

/// The error of a policy that says what nothing can be made of.
pub(crate) fn bad_scores(miner: &NodeId, fault: &str) -> Error {
    Error::internal("bad_scores", format!("the score of {miner} is no score: {fault}"))
        .with_hint("mend the policy; the evidence is kept, and a backtest shows what it makes of it")
}
