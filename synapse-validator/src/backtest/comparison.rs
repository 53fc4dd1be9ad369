//! What policies made of the same epochs.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use synapse_core::{EpochId, NodeId, Reason};

use super::Judged;
use crate::{evidence::EpochEvidence, score::ScorePolicy};

/// What policies made of the same epochs, side by side. As text it is a table, as JSON it is for machines.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Comparison {
    /// The policies, in the order of all lists below.
    pub policies: Vec<PolicyName>,
    /// Epoch by epoch.
    pub epochs: Vec<EpochComparison>,
    /// Each miner over all epochs, sorted by name.
    pub totals: Vec<Total>,
}

/// Which policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PolicyName {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: u32,
}

/// An epoch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct EpochComparison {
    /// Which.
    pub epoch: EpochId,
    /// Why a policy has no scores, by policy; `None` where it has.
    pub faults: Vec<Option<String>>,
    /// The miners, sorted by name.
    pub miners: Vec<MinerComparison>,
}

/// A miner in an epoch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct MinerComparison {
    /// Which.
    pub miner: NodeId,
    /// What it gets, by policy.
    pub by_policy: Vec<Compared>,
}

/// What a miner gets by one policy.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Compared {
    /// Its score; `None` where there is no opinion.
    pub score: Option<f64>,
    /// Its part of all weight in the epoch, from 0 to 1.
    pub share: f64,
    /// That, less its part by the first policy.
    pub difference: f64,
    /// The most telling reason. A backtest may be over thousands of epochs, so the others are left out: they are stored with
    /// each.
    pub reason: Option<Reason>,
}

/// A miner over all epochs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Total {
    /// Which.
    pub miner: NodeId,
    /// In how many of the epochs it was seen.
    pub epochs: usize,
    /// Its mean part of the weight, over all epochs in which the policy gave any, by policy.
    pub share: Vec<f64>,
    /// That, less its part by the first policy.
    pub difference: Vec<f64>,
}

impl Comparison {
    pub(super) fn new(policies: Vec<PolicyName>) -> Self {
        Self {
            policies,
            epochs: Vec::new(),
            totals: Vec::new(),
        }
    }

    /// One more epoch.
    pub(super) fn add(&mut self, evidence: &EpochEvidence, judged: &[Judged]) {
        let mut columns: Vec<BTreeMap<&NodeId, Compared>> = judged.iter().map(column).collect();
        let miners = evidence.miners.iter().map(|miner| {
            let mut by_policy: Vec<Compared> = columns
                .iter_mut()
                .map(|column| column.remove(&miner.miner).unwrap_or_default())
                .collect();
            let first = by_policy.first().map_or(0.0, |first| first.share);
            for compared in &mut by_policy {
                compared.difference = compared.share - first;
            }
            MinerComparison {
                miner: miner.miner.clone(),
                by_policy,
            }
        });
        let miners = miners.collect();
        let faults = judged
            .iter()
            .map(|judged| judged.as_ref().err().map(ToString::to_string));
        self.epochs.push(EpochComparison {
            epoch: evidence.epoch,
            faults: faults.collect(),
            miners,
        });
    }

    /// Once all epochs are there.
    pub(super) fn with_totals(mut self) -> Self {
        self.totals = self.sum_up();
        self
    }

    fn sum_up(&self) -> Vec<Total> {
        let policies = self.policies.len();
        let mut weighed = vec![0_usize; policies];
        let mut sums = BTreeMap::<&NodeId, (usize, Vec<f64>)>::new();
        for epoch in &self.epochs {
            for (policy, weighed) in weighed.iter_mut().enumerate() {
                let any = epoch
                    .miners
                    .iter()
                    .any(|miner| miner.by_policy[policy].share > 0.0);
                *weighed += usize::from(any);
            }
            for miner in &epoch.miners {
                let (seen, shares) = sums
                    .entry(&miner.miner)
                    .or_insert_with(|| (0, vec![0.0; policies]));
                *seen += 1;
                for (sum, compared) in shares.iter_mut().zip(&miner.by_policy) {
                    *sum += compared.share;
                }
            }
        }
        let total = |(miner, (epochs, sums)): (&NodeId, (usize, Vec<f64>))| {
            let means = sums.iter().zip(&weighed);
            let share: Vec<f64> = means.map(|(sum, of)| sum / (*of).max(1) as f64).collect();
            let first = share.first().copied().unwrap_or(0.0);
            Total {
                miner: miner.clone(),
                epochs,
                difference: share.iter().map(|share| share - first).collect(),
                share,
            }
        };
        sums.into_iter().map(total).collect()
    }
}

impl PolicyName {
    pub(super) fn of(policy: &dyn ScorePolicy) -> Self {
        Self {
            name: policy.name().to_owned(),
            version: policy.version(),
        }
    }
}

/// What one policy gives each miner.
fn column(judged: &Judged) -> BTreeMap<&NodeId, Compared> {
    let Ok((scores, weights)) = judged else {
        return BTreeMap::new();
    };
    let all: u64 = weights.iter().map(|weight| u64::from(weight.value)).sum();
    let mut column: BTreeMap<&NodeId, Compared> = scores
        .as_slice()
        .iter()
        .map(|score| {
            let compared = Compared {
                score: score.estimate.map(|estimate| estimate.value),
                reason: score.reasons.first().cloned(),
                ..Compared::default()
            };
            (&score.miner, compared)
        })
        .collect();
    for weight in weights {
        if let Some(compared) = column.get_mut(&weight.node) {
            compared.share = f64::from(weight.value) / all as f64;
        }
    }
    column
}
