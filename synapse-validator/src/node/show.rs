//! Making a node's status, as long as somebody looks.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use synapse_core::{Error, NodeId};
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::{
    book::{first_content_us, speed_mtps},
    shared::Shared,
    status::{LastEpoch, MinerState, MinerStatus, ValidatorStatus},
};
use crate::{
    evidence::{EpochEvidence, MinerEvidence, Tally},
    judge::Validator,
    state::{EpochRecord, Stage},
};

/// How often the status is made.
const EVERY: Duration = Duration::from_secs(1);

/// Makes the status once a second, as long as somebody follows it.
pub(super) struct Show<V> {
    shared: Arc<Shared<V>>,
    /// Replies of each miner in the open epoch, and when there was the last new one.
    seen: BTreeMap<NodeId, (u64, Option<Instant>)>,
}

impl<V: Validator> Show<V> {
    pub(super) fn new(shared: Arc<Shared<V>>) -> Self {
        Self {
            shared,
            seen: BTreeMap::new(),
        }
    }

    pub(super) async fn run(mut self) -> Result<(), Error> {
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if !self.shared.status.is_followed() {
                continue;
            }
            match self.status().await {
                Ok(status) if *self.shared.status.current() != status => self.shared.status.set(status),
                Ok(_) => {}
                Err(error) => tracing::debug!(%error, "the status could not be made"),
            }
        }
    }

    async fn status(&mut self) -> Result<ValidatorStatus, Error> {
        let shared = self.shared.clone();
        let now = shared.subnet.epochs().current();
        let directory = shared.subnet.directory().current();
        let mut status = ValidatorStatus::new(shared.subnet.id(), shared.validator.clone());
        status.epoch = (now.starts < now.ends).then_some(*now);
        status.block = shared.block();
        status.blocks_left = now.ends.0.saturating_sub(status.block.0.max(now.starts.0));
        status.members = directory.members().len();
        status.standing = shared.standing(&directory);
        let policy = shared.guarded("policy", |judge| {
            (judge.policy().name().to_owned(), judge.policy().version())
        });
        (status.policy, status.policy_version) = policy.unwrap_or_default();
        let last = shared.state.newest(|record| record.stage != Stage::Open).await?;
        status.last = last.map(|record| LastEpoch {
            epoch: record.epoch(),
            outcome: record.outcome(),
            block: record.since,
            weights: record
                .intent
                .as_ref()
                .map_or(0, |intent| intent.weights.as_slice().len()),
        });
        let scored = shared.state.scored().await?;
        status.scored = scored.as_ref().map(|record| record.epoch());
        let evidence = shared.log.snapshot();
        status.gathering = evidence.as_ref().map(|evidence| evidence.epoch);
        status.miners = self.miners(evidence.as_ref(), scored.as_deref());
        status.alerts = shared.alerts.active();
        Ok(status)
    }

    fn miners(&mut self, evidence: Option<&EpochEvidence>, scored: Option<&EpochRecord>) -> Vec<MinerStatus> {
        let shared = self.shared.clone();
        let roll = shared.roll.current();
        let seen = evidence
            .map(|evidence| evidence.miners.as_slice())
            .unwrap_or_default();
        let names: BTreeSet<&NodeId> = roll.keys().chain(seen.iter().map(|miner| &miner.miner)).collect();
        self.seen.retain(|node, _| names.contains(node));
        names
            .into_iter()
            .map(|node| {
                let enrolled = roll.get(node);
                let is_ready = || shared.pool.as_ref().is_some_and(|pool| pool.is_ready(node));
                let state = match enrolled {
                    None => MinerState::Left,
                    Some(enrolled) if enrolled.refused.is_some() => MinerState::NotAdmitted,
                    Some(_) if is_ready() => MinerState::Ready,
                    Some(_) => MinerState::NotReady,
                };
                let mut status = MinerStatus::new(node.clone(), state);
                status.why = enrolled.and_then(|enrolled| enrolled.refused.clone());
                if let Some(record) = scored {
                    judged(&mut status, record);
                }
                if let Some(miner) = evidence.and_then(|evidence| evidence.miner(node)) {
                    counted(&mut status, miner);
                }
                status.seen_secs_ago = self
                    .last_seen(node, status.answered)
                    .map(|when| when.elapsed().as_secs());
                status
            })
            .collect()
    }

    fn last_seen(&mut self, node: &NodeId, answered: u64) -> Option<Instant> {
        let (before, when) = self.seen.entry(node.clone()).or_default();
        if answered > *before {
            *when = Some(Instant::now());
        }
        *before = answered;
        *when
    }
}

fn judged(status: &mut MinerStatus, record: &EpochRecord) {
    let score = record
        .opinion
        .as_ref()
        .and_then(|opinion| opinion.scores.get(&status.node));
    status.score = score.and_then(|score| score.estimate);
    status.reason = score
        .and_then(|score| score.reasons.first())
        .map(|reason| reason.text.clone());
    status.weight = record.weight(&status.node);
    let all = record
        .intent
        .as_ref()
        .map(|intent| intent.weights.as_slice())
        .unwrap_or_default();
    let sum: u64 = all.iter().map(|weight| u64::from(weight.value)).sum();
    let share = |weight: u16| (u64::from(weight) * 1_000_000).checked_div(sum);
    status.share_ppm = status
        .weight
        .and_then(share)
        .map(|share| u32::try_from(share).expect("at most a million"));
}

fn counted(status: &mut MinerStatus, miner: &MinerEvidence) {
    let tallies = || miner.users.values().chain([&miner.probes]);
    let sum = |count: fn(&Tally) -> u64| tallies().map(count).fold(0, u64::saturating_add);
    status.asked = sum(|tally| tally.asked);
    status.answered = sum(|tally| tally.answered);
    status.failed = sum(Tally::failures);
    status.output_tokens = sum(|tally| tally.output_tokens);
    status.first_content_us = first_content_us(miner);
    status.speed_mtps = speed_mtps(miner);
}
