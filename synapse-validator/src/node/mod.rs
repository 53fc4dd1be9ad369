//! The loop that judges, epoch by epoch.
//!
//! A [`ValidatorNode`] follows a subnet. It asks its miners questions that look like a user's and takes note of how users'
//! own went; when the subnet begins to take weights for an epoch it closes what it saw of it, has it scored, makes weights
//! of the scores and submits them. Each step is stored before the next one begins, so it may be killed at any moment.
//!
//! Evidence belongs to the epoch that was open as a request *ended*. Weights for epoch 7 are taken in its last blocks, so what
//! is seen in those belongs to epoch 8.
//!
//! | when | what follows |
//! | --- | --- |
//! | the chain takes weights for the epoch that was just closed | it is scored and submitted, until the chain took it or takes none any more |
//! | the node was away while weights were taken | the epoch is recorded as missed |
//! | it is begun again within that time | it goes on where it was: what was intended or submitted is sent again under the same operation, which counts once |
//! | the chain went back to where an epoch was weighed | what it may have forgotten is sent again, under the same operation; no closed evidence changes |
//! | an epoch was skipped, or had no blocks | nothing: it has no record |
//! | a weight names somebody who left | that weight is left out, and the rest submitted |
//! | the chain is busy, limits the rate, or cannot be reached | again, after as long as it says, else after 250 ms, doubling up to 8 s |
//! | the outcome is not known when the window ends | the same is sent a few times more: a chain that has it says so |
//! | the policy panics, takes more than 10 s, or returns what are no scores | the last good weights are submitted, of miners that are still members |
//! | nothing was seen in the whole epoch, or no score is above zero | nothing is submitted |
//!
//! # What an operator is told
//!
//! Each of these is said once as it begins and once as it is over ([`ValidatorNode::on_alert`], the log, the status).
//!
//! | code | what it means | when it is over | what to do |
//! | --- | --- | --- | --- |
//! | `chain_stalled` | no phase began for three times as long as any before, and a minute | a phase begins | check that the chain makes blocks, and that this node reaches it |
//! | `chain_went_back` | the chain is behind where it was, or by more than one epoch behind what is stored; then no new weights are submitted until it is there | it is there | nothing: what it forgot is submitted again; but if this is another chain, give the node an empty directory, and the evidence of the old one stays where it is |
//! | `not_a_member` | this validator is none of the subnet's | it is registered | register it, and check that it runs with that key |
//! | `may_not_weigh` | its stake is below what setting weights takes, or the chain refused it for that | the chain takes its weights | add stake |
//! | `no_miner_ready` | for half a minute no miner answered (with checkpoints every 5 s) | one does | check this machine's network |
//! | `probes_late` | all places for questions are taken, and a miner has waited an interval longer than it should | everybody is asked in time | raise `probe.at_once`, or `probe.every` |
//! | `no_opinion` | nothing was submitted, as there was nothing to say | there is something to submit | see that miners are reached, for a whole epoch |
//! | `policy_fault` | the policy panicked, took too long or returned what are no scores | it scores an epoch | correct it; a backtest over the stored epoch shows the same |
//! | `judge_fault` | `admit`, `probe` or `judge` of a [`Validator`] panicked | the next epoch begins | correct it; the panic is in the log |
//! | `submission_failing` | the chain does not take the weights now | it has them, or the window ended | check the way to the chain |
//! | `weights_missed` | an epoch's weights were not submitted in time | the next ones are | keep the node up while weights are taken; where the weights could not be stored, as for `state_unwritable` |
//! | `weights_refused` | the chain refused an epoch's weights | it takes the next ones | its reason says what has to change |
//! | `state_unwritable` | a step could not be stored; it is kept in memory, and no weights are submitted while it lasts | it is stored | make room on the disk, and give this user the right to write there |
//! | `state_corrupt` | the files of so many epochs could not be read, and were set aside | the next epoch begins | check the disk |
//! | `task_failed` | a part of the node panicked, and was begun again | the next epoch begins | report it, with the log |

mod alert;
mod book;
mod corrupt;
mod course;
mod follow;
mod probing;
mod run;
mod scoring;
mod shared;
mod show;
mod status;
mod submit;

use std::{
    fmt,
    hash::{BuildHasher, RandomState},
    sync::Arc,
    time::Duration,
};

use synapse_core::{NodeId, ScoreBook, Subnet, Watch, WatchSender};

use self::{alert::Alerts, book::Book, shared::Settings};
pub use self::{
    alert::{Alert, AlertCode},
    status::{LastEpoch, MinerState, MinerStatus, Standing, ValidatorStatus},
};
use crate::{
    evidence::EvidenceLog,
    judge::{StandardValidator, Validator},
    pool::MinerPool,
    score::ScorePolicy,
    state::State,
};

/// Miners that are asked at once, where nothing else is said.
const PROBES_AT_ONCE: usize = 256;

/// Runs a [`Validator`]: see the [module](self) for what it does when.
///
/// ```
/// use std::sync::Arc;
/// use synapse_core::{InferenceModule, Member, NodeId, Subnet};
/// use synapse_validator::{EvidenceLog, MinerPool, State, ValidatorNode};
///
/// async fn validate(subnet: impl Subnet, validator: NodeId, stop: impl Future<Output = ()> + Send) -> Result<(), synapse_core::Error> {
/// #   let connect = |_: &Member| Ok(Arc::new(synapse_core::testkit::Echo::new()) as Arc<dyn InferenceModule>);
/// #   let folder = "./validator";
///     let evidence = EvidenceLog::new();
///     // The pool tells the log how users' requests went.
///     let pool = Arc::new(MinerPool::watch(subnet.directory(), connect).witness(evidence.clone()));
///     ValidatorNode::new(subnet, validator)
///         .pool(pool)
///         .evidence(evidence)
///         .state(State::open(folder)?)
///         .on_alert(|alert| eprintln!("{alert}"))
///         .run(stop)
///         .await
/// }
/// ```
pub struct ValidatorNode<V: Validator = StandardValidator> {
    subnet: Arc<dyn Subnet>,
    validator: NodeId,
    judge: V,
    pool: Option<Arc<MinerPool>>,
    log: EvidenceLog,
    state: State,
    alerts: Alerts,
    settings: Settings,
    status: Arc<WatchSender<ValidatorStatus>>,
}

impl ValidatorNode {
    /// A node of `validator` in `subnet`, which judges by the standard policy and keeps its state in memory.
    pub fn new(subnet: impl Subnet, validator: impl Into<NodeId>) -> Self {
        let validator = validator.into();
        let status = ValidatorStatus::new(subnet.id(), validator.clone());
        Self {
            subnet: Arc::new(subnet),
            validator,
            judge: StandardValidator::default(),
            pool: None,
            log: EvidenceLog::new(),
            state: State::in_memory(),
            alerts: Alerts::default(),
            settings: Settings {
                probe_every: Watch::constant(Duration::from_secs(30)),
                probes_at_once: PROBES_AT_ONCE,
                deadline: Duration::from_secs(600),
                checkpoint_every: Duration::from_secs(5),
                policy_within: Duration::from_secs(10),
                // Keyed by the operating system, anew for each.
                seed: RandomState::new().hash_one(0_u8),
            },
            status: Arc::new(Watch::channel(status).0),
        }
    }

    /// Scores by `policy`, and does the rest as everybody does.
    #[must_use]
    pub fn policy(self, policy: impl ScorePolicy) -> Self {
        self.judge(StandardValidator::new(policy))
    }
}

impl<V: Validator> ValidatorNode<V> {
    /// Judges as `validator` says.
    #[must_use]
    pub fn judge<W: Validator>(self, validator: W) -> ValidatorNode<W> {
        ValidatorNode {
            subnet: self.subnet,
            validator: self.validator,
            judge: validator,
            pool: self.pool,
            log: self.log,
            state: self.state,
            alerts: self.alerts,
            settings: self.settings,
            status: self.status,
        }
    }

    /// Asks miners through `pool`, which the node initialises and does not shut down. Without one it asks nobody, and judges
    /// by what comes into the [log](Self::evidence).
    #[must_use]
    pub fn pool(mut self, pool: Arc<MinerPool>) -> Self {
        self.pool = Some(pool);
        self
    }

    /// Judges by what comes into `log`: give the same to the pool, for users' requests to count.
    #[must_use]
    pub fn evidence(mut self, log: EvidenceLog) -> Self {
        self.log = log;
        self
    }

    /// Keeps what outlives the node in `state`. Set it before [`book`](Self::book) is taken.
    #[must_use]
    pub fn state(mut self, state: State) -> Self {
        self.state = state;
        self
    }

    /// Asks each miner a question so often, every 30 s by default, with jitter (from half of it to one and a half).
    #[must_use]
    pub fn probe_every(self, interval: Duration) -> Self {
        self.probe_following(Watch::constant(interval))
    }

    /// The same of an interval that may change while the node runs.
    #[must_use]
    pub fn probe_following(mut self, interval: Watch<Duration>) -> Self {
        self.settings.probe_every = interval;
        self
    }

    /// Asks at most so many miners at once, 256 by default, at least 1. One that never answers takes a place for as long as its
    /// question may take.
    #[must_use]
    pub fn probes_at_once(mut self, probes: usize) -> Self {
        self.settings.probes_at_once = probes.max(1);
        self
    }

    /// Gives each probe a deadline so far ahead, 600 s by default: a miner sees it, so set what the gateway gives its users'
    /// requests. How long a probe's answer is waited for is the [probe's](synapse_core::probe::Probe::limit).
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.settings.deadline = deadline;
        self
    }

    /// Stores the open epoch so often, every 5 s by default: a node that is killed loses what it saw since. One that takes
    /// longer to store than a tenth of that is stored less often.
    #[must_use]
    pub fn checkpoint_every(mut self, interval: Duration) -> Self {
        self.settings.checkpoint_every = interval.max(Duration::from_millis(1));
        self
    }

    /// Waits so long for a policy, 10 s by default.
    #[must_use]
    pub fn policy_within(mut self, limit: Duration) -> Self {
        self.settings.policy_within = limit;
        self
    }

    /// Draws its questions from `seed`, so that a run can be repeated; by default from one that nobody knows, another for
    /// each node.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.settings.seed = seed;
        self
    }

    /// Tells `listener` what an operator should know. It must not block.
    #[must_use]
    pub fn on_alert(mut self, listener: impl Fn(&Alert) + Send + Sync + 'static) -> Self {
        self.alerts = Alerts::told_to(listener);
        self
    }

    /// What it thinks of its miners, for those who ask: over HTTP, say.
    #[must_use]
    pub fn book(&self) -> Arc<dyn ScoreBook> {
        Arc::new(Book::new(
            self.subnet.id(),
            self.validator.clone(),
            self.state.clone(),
        ))
    }

    /// How it and its miners do, at most once a second, from when it runs.
    #[must_use]
    pub fn status(&self) -> Watch<ValidatorStatus> {
        self.status.follow()
    }
}

impl<V: Validator> fmt::Debug for ValidatorNode<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ValidatorNode")
            .field("subnet", &self.subnet.id())
            .field("validator", &self.validator)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}
