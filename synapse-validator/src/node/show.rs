//! Making a node's status, as long as somebody looks.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Weak},
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
    evidence::{MinerEvidence, Tally},
    judge::Validator,
    state::{EpochRecord, Stage},
};

/// How often the status is made.
const EVERY: Duration = Duration::from_secs(1);

/// Makes the status once a second, as long as somebody follows it.
pub(super) struct Show<V> {
    shared: Arc<Shared<V>>,
    seen: BTreeMap<NodeId, Seen>,
}

/// What was seen of a miner in the open epoch.
#[derive(Debug, Default)]
struct Seen {
    /// What it was counted from. A miner's evidence moves where it changes: as long as it is there, the counts are right.
    evidence: Weak<MinerEvidence>,
    counts: Counts,
    /// When there was the last new reply.
    when: Option<Instant>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    asked: u64,
    answered: u64,
    failed: u64,
    output_tokens: u64,
    first_content_us: Option<u64>,
    speed_mtps: Option<u64>,
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
        let gathered = shared.log.gathered();
        status.gathering = gathered.as_ref().map(|gathered| gathered.epoch.epoch);
        let seen = gathered.map(|gathered| gathered.miners).unwrap_or_default();
        status.miners = self.miners(&seen, scored.as_deref());
        status.alerts = shared.alerts.active();
        Ok(status)
    }

    fn miners(
        &mut self,
        seen: &BTreeMap<NodeId, Arc<MinerEvidence>>,
        scored: Option<&EpochRecord>,
    ) -> Vec<MinerStatus> {
        let shared = self.shared.clone();
        let roll = shared.roll.current();
        let names: BTreeSet<&NodeId> = roll.keys().chain(seen.keys()).collect();
        let weight: u64 = scored.map_or(0, all_weight);
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
                    judged(&mut status, record, weight);
                }
                let seen = self.look_at(node, seen.get(node));
                seen.counts.show_in(&mut status);
                status.seen_secs_ago = seen.when.map(|when| when.elapsed().as_secs());
                status
            })
            .collect()
    }

    fn look_at(&mut self, node: &NodeId, miner: Option<&Arc<MinerEvidence>>) -> &Seen {
        let seen = self.seen.entry(node.clone()).or_default();
        let evidence = miner.map(Arc::downgrade).unwrap_or_default();
        if !seen.evidence.ptr_eq(&evidence) {
            let counts = miner.map_or_else(Counts::default, |miner| Counts::of(miner));
            if counts.answered > seen.counts.answered {
                seen.when = Some(Instant::now());
            }
            (seen.evidence, seen.counts) = (evidence, counts);
        }
        seen
    }
}

fn all_weight(record: &EpochRecord) -> u64 {
    let weights = record.intent.as_ref().map(|intent| intent.weights.as_slice());
    let weights = weights.unwrap_or_default().iter();
    weights.map(|weight| u64::from(weight.value)).sum()
}

fn judged(status: &mut MinerStatus, record: &EpochRecord, all_weight: u64) {
    let score = record
        .opinion
        .as_ref()
        .and_then(|opinion| opinion.scores.get(&status.node));
    status.score = score.and_then(|score| score.estimate);
    status.reason = score
        .and_then(|score| score.reasons.first())
        .map(|reason| reason.text.clone());
    status.weight = record.weight(&status.node);
    let share = |weight: u16| (u64::from(weight) * 1_000_000).checked_div(all_weight);
    status.share_ppm = status
        .weight
        .and_then(share)
        .map(|share| u32::try_from(share).expect("at most a million"));
}

impl Counts {
    fn of(miner: &MinerEvidence) -> Self {
        let tallies = || miner.users.values().chain([&miner.probes]);
        let sum = |count: fn(&Tally) -> u64| tallies().map(count).fold(0, u64::saturating_add);
        Self {
            asked: sum(|tally| tally.asked),
            answered: sum(|tally| tally.answered),
            failed: sum(Tally::failures),
            output_tokens: sum(|tally| tally.output_tokens),
            first_content_us: first_content_us(miner),
            speed_mtps: speed_mtps(miner),
        }
    }

    fn show_in(self, status: &mut MinerStatus) {
        status.asked = self.asked;
        status.answered = self.answered;
        status.failed = self.failed;
        status.output_tokens = self.output_tokens;
        status.first_content_us = self.first_content_us;
        status.speed_mtps = self.speed_mtps;
    }
}
