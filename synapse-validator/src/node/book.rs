//! What a node thinks of its miners, for those who ask.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use serde_json::Value;
use synapse_core::{EpochId, Error, ErrorKind, NodeId, ScoreBook, ScoreReport, SubnetId, SubnetSummary};

use crate::{
    evidence::{Distribution, MinerEvidence},
    state::{EpochRecord, State},
};

/// Reports of the epochs in a state.
#[derive(Debug)]
pub(super) struct Book {
    subnet: SubnetId,
    validator: NodeId,
    state: State,
    /// What was last summed up, and of what.
    summed_up: Mutex<Option<(Arc<EpochRecord>, SubnetSummary)>>,
}

impl Book {
    pub(super) fn new(subnet: SubnetId, validator: NodeId, state: State) -> Self {
        Self {
            subnet,
            validator,
            state,
            summed_up: Mutex::default(),
        }
    }

    async fn scored(&self, epoch: Option<EpochId>) -> Result<Arc<EpochRecord>, Error> {
        let found = match epoch {
            Some(epoch) => self
                .state
                .look_up(epoch)
                .await?
                .filter(|record| record.opinion.is_some()),
            None => self.state.scored().await?,
        };
        found.ok_or_else(|| no_such_epoch(epoch))
    }
}

#[async_trait]
impl ScoreBook for Book {
    async fn report(&self, miner: &NodeId, epoch: Option<EpochId>) -> Result<ScoreReport, Error> {
        let record = self.scored(epoch).await?;
        let unknown = || {
            Error::new(
                ErrorKind::NotFound,
                "unknown_miner",
                format!("{miner} was not judged in epoch {}", record.epoch()),
            )
            .with_hint("a miner is judged from when it serves")
        };
        let evidence = record.evidence.miner(miner).ok_or_else(unknown)?;
        let opinion = record
            .opinion
            .as_ref()
            .expect("only epochs that were scored are found");
        let mut report = ScoreReport::new(self.subnet, self.validator.clone(), record.epoch(), miner.clone());
        report.policy.clone_from(&opinion.policy);
        report.policy_version = opinion.policy_version;
        if let Some(score) = opinion.scores.get(miner) {
            report.score = score.estimate.map(|estimate| estimate.value);
            report.low = score.estimate.map(|estimate| estimate.low);
            report.high = score.estimate.map(|estimate| estimate.high);
            report.reasons.clone_from(&score.reasons);
        }
        report.weight = record.weight(miner);
        report.outcome = record.outcome();
        report.evidence = without_names(evidence);
        Ok(report)
    }

    async fn summary(&self) -> Result<SubnetSummary, Error> {
        let record = self.scored(None).await?;
        // Anybody may ask, and it is made of all miners.
        let mut summed_up = self.summed_up.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, summary)) = &*summed_up
            && Arc::ptr_eq(of, &record)
        {
            return Ok(summary.clone());
        }
        let summary = self.sum_up(&record);
        *summed_up = Some((record, summary.clone()));
        Ok(summary)
    }
}

impl Book {
    fn sum_up(&self, record: &EpochRecord) -> SubnetSummary {
        let opinion = record
            .opinion
            .as_ref()
            .expect("only epochs that were scored are found");
        let paid: Vec<&MinerEvidence> = record
            .evidence
            .miners
            .iter()
            .filter(|miner| {
                opinion
                    .scores
                    .get(&miner.miner)
                    .is_some_and(|score| score.value() > 0.0)
            })
            .collect();
        let mut summary = SubnetSummary::new(self.subnet, self.validator.clone(), record.epoch());
        summary.miners = paid.len();
        summary.first_content_us = median(paid.iter().filter_map(|miner| first_content_us(miner)).collect());
        summary.speed_mtps = median(paid.iter().filter_map(|miner| speed_mtps(miner)).collect());
        summary
    }
}

/// The median time to a miner's first content, probes and users' requests together.
pub(super) fn first_content_us(miner: &MinerEvidence) -> Option<u64> {
    let mut all = miner.probes.first_content_us.clone();
    miner
        .users
        .values()
        .for_each(|tally| all.merge(&tally.first_content_us));
    half(&all)
}

/// The median of a miner's speeds, in the same way.
pub(super) fn speed_mtps(miner: &MinerEvidence) -> Option<u64> {
    let mut all = miner.probes.speed_mtps.clone();
    miner
        .users
        .values()
        .for_each(|tally| all.merge(&tally.speed_mtps));
    half(&all)
}

fn half(values: &Distribution) -> Option<u64> {
    values.quantile(500)
}

fn median(mut values: Vec<u64>) -> Option<u64> {
    values.sort_unstable();
    values.get(values.len().checked_sub(1)? / 2).copied()
}

/// The evidence as JSON, with its callers numbered: who they are is nobody's business.
fn without_names(evidence: &MinerEvidence) -> Value {
    let mut numbered = evidence.clone();
    numbered.users = evidence
        .users
        .values()
        .enumerate()
        .map(|(at, tally)| (format!("caller-{}", at + 1).into(), tally.clone()))
        .collect();
    serde_json::to_value(numbered).unwrap_or(Value::Null)
}

fn no_such_epoch(epoch: Option<EpochId>) -> Error {
    let what = match epoch {
        Some(epoch) => format!("epoch {epoch} was not scored, or is not kept any more"),
        None => "no epoch was scored yet".to_owned(),
    };
    Error::new(ErrorKind::NotFound, "no_such_epoch", what)
        .with_hint("leave the epoch out for the last one that was scored")
}
