//! What the node's tasks share.

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use synapse_core::{
    BlockNumber, Directory, Epoch, EpochId, Error, Member, NodeId, Phase, Role, Subnet, Watch, WatchSender,
};

use super::{
    alert::{AlertCode, Alerts},
    status::{Standing, ValidatorStatus},
};
use crate::{
    evidence::{EvidenceLog, Gathered},
    judge::Validator,
    pool::MinerPool,
    state::{EpochRecord, State},
};

/// The miners of a subnet.
pub(super) type Roll = BTreeMap<NodeId, Enrolled>;

/// A miner of the subnet.
#[derive(Debug, Clone)]
pub(super) struct Enrolled {
    pub(super) member: Member,
    /// Why it is neither asked nor judged.
    pub(super) refused: Option<String>,
}

/// How a node does its work.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub(super) probe_every: Watch<Duration>,
    pub(super) probes_at_once: usize,
    pub(super) deadline: Duration,
    pub(super) checkpoint_every: Duration,
    pub(super) policy_within: Duration,
    pub(super) seed: u64,
}

/// What the node's tasks share.
pub(super) struct Shared<V> {
    pub(super) subnet: Arc<dyn Subnet>,
    pub(super) validator: NodeId,
    pub(super) judge: Arc<V>,
    pub(super) pool: Option<Arc<MinerPool>>,
    pub(super) log: EvidenceLog,
    pub(super) state: State,
    pub(super) alerts: Alerts,
    pub(super) settings: Settings,
    pub(super) roll: WatchSender<Roll>,
    pub(super) status: Arc<WatchSender<ValidatorStatus>>,
    /// Whether a policy is at work, perhaps for ever.
    pub(super) scoring: Arc<AtomicBool>,
    block: AtomicU64,
}

impl<V: Validator> Shared<V> {
    #[expect(clippy::too_many_arguments, reason = "the parts of a node, once")]
    pub(super) fn new(
        subnet: Arc<dyn Subnet>,
        validator: NodeId,
        judge: Arc<V>,
        pool: Option<Arc<MinerPool>>,
        log: EvidenceLog,
        state: State,
        alerts: Alerts,
        settings: Settings,
        status: Arc<WatchSender<ValidatorStatus>>,
    ) -> Self {
        Self {
            subnet,
            validator,
            judge,
            pool,
            log,
            state,
            alerts,
            settings,
            roll: Watch::channel(Roll::new()).0,
            status,
            scoring: Arc::default(),
            block: AtomicU64::new(0),
        }
    }

    /// The last block that was heard of.
    pub(super) fn block(&self) -> BlockNumber {
        BlockNumber(self.block.load(Ordering::Relaxed))
    }

    /// Hears of a block.
    pub(super) fn heard_of(&self, block: BlockNumber) {
        self.block.fetch_max(block.0, Ordering::Relaxed);
    }

    /// The block that an epoch's phase began with: chains tell of phases rather than of blocks.
    pub(super) fn first_block(&self, epoch: Epoch) -> BlockNumber {
        if epoch.phase != Phase::Weighing {
            return epoch.starts;
        }
        let weighing = self.subnet.params().current().weighing_blocks;
        BlockNumber(epoch.ends.0.saturating_sub(weighing).max(epoch.starts.0))
    }

    /// Whether the chain takes weights for `epoch` now.
    pub(super) fn takes(&self, epoch: EpochId) -> bool {
        let now = self.subnet.epochs().current();
        now.id == epoch && now.phase == Phase::Weighing && now.starts < now.ends
    }

    /// Calls what an author wrote. A panic there is an alert, and `None`.
    pub(super) fn guarded<T>(&self, what: &str, call: impl FnOnce(&V) -> T) -> Option<T> {
        catch_unwind(AssertUnwindSafe(|| call(&self.judge)))
            .map_err(|payload| {
                // The payload goes to the log.
                let _ = Error::from_panic(&*payload);
                let text = format!("the validator's `{what}` panicked");
                self.alerts.raise(AlertCode::JudgeFault, None, text);
            })
            .ok()
    }

    /// Takes note of who is a member.
    pub(super) fn enrol(&self, directory: &Directory) {
        self.heard_of(directory.block());
        let miners = directory
            .members()
            .iter()
            .filter(|member| member.role == Role::Miner);
        let roll: Roll = miners
            .map(|member| {
                let enrolled = Enrolled {
                    member: member.clone(),
                    refused: self.why_refused(member),
                };
                (member.node.clone(), enrolled)
            })
            .collect();
        for enrolled in roll.values() {
            self.log.member(&enrolled.member, enrolled.refused.clone());
        }
        self.roll.set(roll);
        if directory.members().is_empty() {
            return;
        }
        let standing = self.standing(directory);
        self.alerts.set(AlertCode::NotAMember, !standing.is_member, || {
            format!(
                "{} is no validator of subnet {}",
                self.validator,
                self.subnet.id()
            )
        });
        self.alerts.set(
            AlertCode::MayNotWeigh,
            standing.is_member && !standing.may_weigh(),
            || {
                format!(
                    "{} staked {}, and setting weights takes {}",
                    self.validator, standing.stake, standing.needed
                )
            },
        );
    }

    /// Whether this validator may set weights.
    pub(super) fn standing(&self, directory: &Directory) -> Standing {
        let member = directory
            .get(&self.validator)
            .filter(|member| member.role == Role::Validator);
        Standing {
            is_member: member.is_some(),
            stake: member.map(|member| member.stake).unwrap_or_default(),
            needed: self.subnet.params().current().min_validator_stake,
        }
    }

    /// Stores an epoch. Where that fails it is tried again later, and the operator is told.
    pub(super) async fn keep(&self, record: EpochRecord) -> bool {
        let epoch = record.epoch();
        self.kept(epoch, self.state.put(record).await)
    }

    /// Stores the open epoch, in the same way.
    pub(super) async fn keep_open(&self, gathered: Gathered) -> bool {
        let epoch = gathered.epoch.epoch;
        self.kept(epoch, self.state.put_open(gathered).await)
    }

    /// Tells the operator whether storing worked.
    pub(super) fn kept(&self, epoch: EpochId, result: Result<(), Error>) -> bool {
        match result {
            Ok(()) => self.alerts.clear(AlertCode::StateUnwritable),
            Err(error) => {
                let text = format!("{error}");
                self.alerts.raise(AlertCode::StateUnwritable, Some(epoch), text);
                return false;
            }
        }
        true
    }

    fn why_refused(&self, member: &Member) -> Option<String> {
        if member.endpoint.is_none() {
            return Some("it says nowhere to be reached".to_owned());
        }
        // A panic is this validator's fault, and no miner's.
        let admitted = self
            .guarded("admit", |judge| judge.admit(member))
            .unwrap_or(Ok(()));
        admitted.err().map(|error| error.to_string())
    }
}
