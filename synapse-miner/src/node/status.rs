//! How a miner does, for whoever looks.

use std::{collections::BTreeMap, time::SystemTime};

use serde::{Deserialize, Serialize};
use synapse_core::{
    BlockNumber, Capacity, Epoch, EpochId, Health, HealthStatus, Member, Metric, MetricsData,
    ModuleCapabilities, NodeId, Reason, ScoreReport, Stake, SubnetId,
};

/// The most reasons of one score that are kept, and the characters of one of its texts.
const MOST_REASONS: usize = 8;
const LONGEST_TEXT: usize = 256;

/// How a miner does. Times are milliseconds since 1970, by the machine's clock.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct MinerStatus {
    /// Who it is.
    pub node: NodeId,
    /// Of which subnet.
    pub subnet: SubnetId,
    /// What it does now.
    pub stage: Stage,
    /// The subnet's epoch; `None` until the subnet is known.
    pub epoch: Option<Epoch>,
    /// Its place in the subnet; `None` while it is no member.
    pub membership: Option<Membership>,
    /// Where validators are told to ask it.
    pub endpoint: Option<String>,
    /// Where the directory says that it is.
    pub listed_at: Option<String>,
    /// Whether the directory says of it what is so: where it is, and what it serves.
    pub listed: bool,
    /// What its module claims; `None` until it was looked at.
    pub capabilities: Option<ModuleCapabilities>,
    /// The digest of these capabilities.
    pub digest: Option<String>,
    /// The digest that the directory has.
    pub listed_digest: Option<String>,
    /// How its module is; `None` until it was asked.
    pub health: Option<HealthSeen>,
    /// What its module counted, by name; those with several labels are added up.
    pub metrics: BTreeMap<String, f64>,
    /// How many requests were refused, by part and reason: `queue.full`, `access.denied`.
    #[serde(default)]
    pub refusals: BTreeMap<String, u64>,
    /// When it last looked after everything; `None` before the first time.
    pub heartbeat_ms: Option<u64>,
    /// How often it registered itself.
    pub registrations: u32,
    /// What it spent on that, fees and stakes together, over its whole life.
    pub spent: Stake,
    /// What is wrong now.
    pub alerts: Vec<ActiveAlert>,
    /// What validators last said that it is worth, sorted by validator.
    pub scores: Vec<ScoreSeen>,
}

/// What a miner does now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Stage {
    /// It checks itself, and waits for its chain.
    Starting,
    /// It serves.
    Serving,
    /// It takes nothing new, and lets what is under way end.
    Draining,
    /// It is over.
    Ended,
}

/// A miner's place in its subnet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Membership {
    /// Since which block.
    pub since: BlockNumber,
    /// With how much stake.
    pub stake: Stake,
    /// Whose that is.
    pub owner: NodeId,
}

/// How a module was when it was last asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct HealthSeen {
    /// In one word.
    pub status: HealthStatus,
    /// Why it is not simply ready.
    pub reason: Option<String>,
    /// Since when.
    pub since_ms: u64,
    /// What it had room for; `None` where nothing measures it.
    #[serde(default)]
    pub capacity: Option<Capacity>,
}

/// Something that is wrong, until it is not any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ActiveAlert {
    /// The [event's code](super::MinerEvent::code).
    pub code: String,
    /// What is wrong, and what to do about it.
    pub text: String,
    /// Since when.
    pub since_ms: u64,
}

/// What a validator last said of the miner.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ScoreSeen {
    /// Who says so.
    pub validator: NodeId,
    /// Of which epoch.
    pub epoch: EpochId,
    /// The score; `None` where it has no opinion.
    pub score: Option<f64>,
    /// The weight that was made of it.
    pub weight: Option<u16>,
    /// What became of the epoch's weights, shortened.
    pub outcome: String,
    /// The first reasons why, most telling first, shortened.
    pub reasons: Vec<Reason>,
}

impl MinerStatus {
    pub(super) fn new(node: NodeId, subnet: SubnetId) -> Self {
        Self {
            node,
            subnet,
            stage: Stage::Starting,
            epoch: None,
            membership: None,
            endpoint: None,
            listed_at: None,
            listed: false,
            capabilities: None,
            digest: None,
            listed_digest: None,
            health: None,
            metrics: BTreeMap::new(),
            refusals: BTreeMap::new(),
            heartbeat_ms: None,
            registrations: 0,
            spent: Stake(0),
            alerts: Vec::new(),
            scores: Vec::new(),
        }
    }

    pub(super) fn saw_member(&mut self, member: Option<&Member>) {
        self.membership = member.map(|member| Membership {
            since: member.active_since,
            stake: member.stake,
            owner: member.owner.clone(),
        });
        self.listed_at = member.and_then(|member| Some(member.endpoint.as_ref()?.to_string()));
        self.listed_digest = member.and_then(|member| member.capabilities.clone());
    }

    /// Sees whether the directory says what is so.
    pub(super) fn compare(&mut self) {
        self.listed =
            self.listed_at.is_some() && self.listed_at == self.endpoint && self.listed_digest == self.digest;
    }

    pub(super) fn saw_health(&mut self, health: &Health) {
        let since_ms = millis(SystemTime::now())
            .saturating_sub(u64::try_from(health.since_instant().elapsed().as_millis()).unwrap_or(u64::MAX));
        let mut seen = HealthSeen {
            status: health.status(),
            reason: health.reason().map(str::to_owned),
            since_ms,
            capacity: health.capacity(),
        };
        // Two clocks never agree to the millisecond, and that is no news.
        if let Some(before) = self.health.as_ref().filter(|before| before.is_like(&seen)) {
            seen.since_ms = before.since_ms;
        }
        self.health = Some(seen);
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a counter, which is a whole number"
    )]
    pub(super) fn saw_metrics(&mut self, metrics: &MetricsData) {
        self.metrics.clear();
        self.refusals.clear();
        for (metric, _, value) in metrics.iter() {
            *self.metrics.entry(metric.name().to_owned()).or_default() += value;
            if let Some(what) = refusal(metric)
                && value > 0.0
            {
                *self.refusals.entry(what).or_default() += value as u64;
            }
        }
    }
}

/// What a count of refusals counts: `queue.full` of `queue.refused` with the reason `full`.
fn refusal(metric: &Metric) -> Option<String> {
    let part = metric.name().strip_suffix(".refused")?;
    let (_, reason) = metric.labels().find(|(label, _)| *label == "reason")?;
    Some(format!("{part}.{reason}"))
}

impl HealthSeen {
    fn is_like(&self, other: &Self) -> bool {
        self.status == other.status
            && self.reason == other.reason
            && self.since_ms.abs_diff(other.since_ms) < 1_000
    }
}

impl From<ScoreReport> for ScoreSeen {
    fn from(report: ScoreReport) -> Self {
        Self {
            validator: report.validator,
            epoch: report.epoch,
            score: report.score,
            weight: report.weight,
            outcome: shortened(&report.outcome),
            reasons: report.reasons.iter().take(MOST_REASONS).map(short).collect(),
        }
    }
}

fn short(reason: &Reason) -> Reason {
    let shown = Reason::new(shortened(&reason.code), shortened(&reason.text));
    match reason.factor {
        Some(factor) => shown.with_factor(factor),
        None => shown,
    }
}

fn shortened(text: &str) -> String {
    text.chars().take(LONGEST_TEXT).collect()
}

/// Milliseconds since 1970.
pub(super) fn millis(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
