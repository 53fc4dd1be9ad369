//! Miners behind one door: a pool that follows the directory, chooses, and fails over.
//!
//! [`MinerPool`] is a module. It connects the miners that a directory lists, looks after each of them, and sends every
//! request to one that serves what is asked: the better of two at random ([`P2c`]) by load ([`PeakEwma`]). What fails
//! before its first content is tried elsewhere; what failed after it is broken, since the client has seen a part.
//!
//! What a miner may say before its first content, and what follows:
//!
//! | it | who is asked next | what is held against it |
//! | --- | --- | --- |
//! | answers | nobody | nothing: its latency is its load |
//! | has no room, or none for this gateway (`Overloaded`, `RateLimited`) | another | a failure in its load |
//! | fails, stays silent, panics; does not know its model or this gateway (`NotFound`, `Forbidden`, …) | another | a failure: its load, and ejection |
//! | fails and says that everybody would (`Retry::Never`) | nobody | a failure |
//! | refuses as the caller's fault (`Invalid`, `TooLarge`, `Unsupported`) | another, for one second opinion | a failure if the other answers, else nothing |
//!
//! Nobody has to trust a miner, so its word that the caller is at fault is not enough: else one that refuses everything
//! would cost nothing and look free. The second opinion is the first other miner that answers or refuses so too; one
//! that fails or has no room has none. If it refuses, or nobody is left to ask, the client gets the first refusal.

mod attempt;
mod balance;
mod dispatch;
mod failover;
mod follow;
mod miner;
pub(crate) mod random;
mod room;
mod roster;
mod served;
mod settings;
mod silence;
mod snapshot;
mod tend;
mod wait;
mod witness;

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use semver::{Comparator, Op, Prerelease, VersionReq};
use synapse_core::{
    Capacity, Connect, Directory, Error, Health, INTERFACE, InferenceModule, Input, MetricsData,
    ModuleCapabilities, NodeId, Output, Watch,
};
use tokio::{sync::Mutex, time::Instant};

pub(crate) use self::failover::blames_caller;
pub use self::{
    attempt::{Attempt, Excluded, Only},
    balance::{Balance, Candidates, Load, Meter, Observation, P2c, PeakEwma},
    served::ServedLayer,
    witness::{Outcome, Sighting, Witness},
};
use self::{follow::Follower, roster::Roster, settings::Settings, tend::Care};

/// When to come back where nobody can be asked now and nobody said when.
const PATIENCE: Duration = Duration::from_secs(1);

/// The miners of a directory as one module.
///
/// [`initialize`](InferenceModule::initialize) starts a task that follows the directory, and returns once each miner
/// listed then was tried (waiting 10 s at most): a gateway starts even while no miner is up. From then on
///
/// - a miner that joins is initialised in the background, again and again until it answers, and asked only then;
/// - a miner that leaves or moves is asked no more, its replies under way may end, and it is shut down. It is looked at
///   meanwhile; what goes on after 30 s is ended, with the error `miner_left`, or sent elsewhere if it has no content yet;
/// - each miner's health and capabilities are looked at every 5 s. Two looks missed, or one unhealthy, and it is
///   asked no more until it can be initialised again;
/// - what waits on a miner that stopped answering is ended, see [below](#a-miner-that-stops-answering);
/// - a miner that failed three requests in a row is ejected for 5 s, doubling up to 5 minutes while it goes on; at most
///   half of the miners (but always one) are ejected at once, and who is ejected is still asked when nobody else is left.
///
/// A request fails over before its first content to miners not tried yet, up to [`attempts`](MinerPool::attempts): after
/// an error that may be different elsewhere, a refusal, a reply without content, or a panic. An error that is the
/// caller's fault is believed once a second miner agrees (see the [module](self)). A request that its client dropped is
/// no failure of the miner, and neither is one whose deadline its caller set less than 30 s ahead; a longer one that goes by
/// is, unless content still came within its last 10 s.
///
/// A miner whose module speaks another [`interface`](MinerPool::interface) than the pool's is not asked, and one that
/// cannot be connected is no member: the metric `pool.unreachable` counts those. As long as some miner was not tried
/// yet, a model that nobody serves is `no_miner_ready` rather than unknown.
///
/// # A miner that stops answering
///
/// A process that is frozen, or a machine that is gone, closes no connection: whoever waits on it would wait for ever.
/// So it is what the miner says of its health that counts, never how long a reply takes. A look that has no answer
/// within 4 s is repeated after half a second:
///
/// | looks without an answer | after the miner froze | what follows |
/// | --- | --- | --- |
/// | 1 | 4 to 12 s | nothing: it may be busy |
/// | 2 | 8 to 17 s | nobody asks it; who waits for its first content, or a reply that is not streamed, is sent elsewhere |
/// | 3 | 12 to 21 s | replies that are streamed and got nothing since the look before end, broken |
///
/// Both are the error `miner_silent`, and a failure of the miner. An answer of any kind begins the count anew: a miner
/// that says it is unhealthy, or refuses connections because it is being shut down, may finish what it has. A miner that
/// is merely slow is left alone, and so is a stream that still moves. One that freezes after it said so is noticed as
/// others are, or a few seconds later where it freezes as it is initialised again.
///
/// Who answers or refuses in a miner's stead, as a balancer before it may, hides that it is frozen: then what waits on it
/// is ended by [`first_content_within`](Self::first_content_within) and the limits of its connection.
///
/// # What a miner says that it has room for
///
/// A miner's health may carry its [`Capacity`]. Nobody is trusted, so that only ever lowers what it gets: where more is sent
/// to it than it has places for, it counts as busier than what was measured of it, by one more time with each request that
/// would have to wait there; its places are taken by others, too. A miner that says it has a thousand places is chosen just
/// as if it said nothing.
///
/// [`shutdown`](InferenceModule::shutdown) drains and ends all of it (where it is given up midway, the next
/// `initialize` first brings it to its end); dropping the pool ends its tasks at once, and
/// replies under way go on.
///
/// ```
/// use std::sync::Arc;
/// use synapse_core::{testkit::Echo, BlockNumber, Directory, Endpoint, InferenceModule, Input, Member, Message, Role, Watch};
/// use synapse_validator::pool::{MinerPool, P2c, PeakEwma};
///
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// let miner = Member::new("miner-1", Role::Miner).with_endpoint(Endpoint::http("http://127.0.0.1:8091")?);
/// let directory = Watch::constant(Directory::new([miner], BlockNumber(1)));
/// let pool = MinerPool::watch(directory, |_: &Member| Ok(Arc::new(Echo::new()) as Arc<dyn InferenceModule>))
///     .balance(P2c::new(PeakEwma::default()))
///     .attempts(3);
/// pool.initialize().await?;
/// let output = pool.run_inference(Input::chat("echo", [Message::user("hello")])).await?;
/// assert_eq!(output.head.served_by(), Some(&"miner-1".into()));
/// # Ok::<(), synapse_core::Error>(())
/// # }).unwrap();
/// ```
pub struct MinerPool {
    directory: Watch<Directory>,
    connect: Arc<dyn Connect>,
    balance: Arc<dyn Balance>,
    settings: Settings,
    interface: VersionReq,
    witness: Option<Arc<dyn Witness>>,
    roster: Arc<Roster>,
    follower: Mutex<Option<Follower>>,
}

impl MinerPool {
    /// The miners of `directory`, each reached by `connect`. Nothing runs before it is initialised.
    pub fn watch(directory: Watch<Directory>, connect: impl Connect) -> Self {
        Self {
            directory,
            connect: Arc::new(connect),
            balance: Arc::new(P2c::new(PeakEwma::default())),
            settings: Settings::default(),
            interface: compatible_interface(),
            witness: None,
            roster: Arc::new(Roster::new()),
            follower: Mutex::default(),
        }
    }

    /// Chooses by `balance`; else by `P2c::new(PeakEwma::default())`. Set it before the pool is initialised.
    #[must_use]
    pub fn balance(mut self, balance: impl Balance) -> Self {
        self.balance = Arc::new(balance);
        self
    }

    /// Asks at most so many miners for one request, 3 by default, at least 1.
    #[must_use]
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.settings.attempts = attempts.max(1);
        self
    }

    /// Asks only miners whose modules speak an interface that `wanted` matches; by default one that is compatible with
    /// [`INTERFACE`]. Another one is logged with both versions, and not ready until it speaks a version that fits.
    ///
    /// An endpoint that is no Synapse module counts as what its adapter claims for it.
    #[must_use]
    pub fn interface(mut self, wanted: VersionReq) -> Self {
        self.interface = wanted;
        self
    }

    /// Looks at each miner so often, every 5 s by default, with jitter (from half of it to one and a half). What waits on
    /// a miner that stops answering waits longer by as much as this is longer.
    #[must_use]
    pub fn probe_interval(mut self, interval: Duration) -> Self {
        self.settings.probe_interval = interval;
        self
    }

    /// Waits so long for a miner's first content, 300 s by default; of a reply that is not streamed, for all of it.
    #[must_use]
    pub fn first_content_within(mut self, limit: Duration) -> Self {
        self.settings.first_content = limit;
        self
    }

    /// Tells `witness` how each request to each member went, users' and [probes](Only) alike. Nobody unless set.
    #[must_use]
    pub fn witness(mut self, witness: impl Witness) -> Self {
        self.witness = Some(Arc::new(witness));
        self
    }

    /// What a member said it can do when it last answered; `None` of one that never did, or is none.
    #[must_use]
    pub fn capabilities_of(&self, node: &NodeId) -> Option<Arc<ModuleCapabilities>> {
        self.roster.snapshot().member(node)?.capabilities()
    }

    /// What a member said when it last answered that it has room for; `None` where it did not say. It is a claim: the pool
    /// sends less to a member that says it is full, and never more to one that says it is not.
    #[must_use]
    pub fn capacity_of(&self, node: &NodeId) -> Option<Capacity> {
        self.roster.snapshot().member(node)?.claimed()
    }

    /// Whether a member answered when it was last looked at, so that it can be asked.
    #[must_use]
    pub fn is_ready(&self, node: &NodeId) -> bool {
        self.roster
            .snapshot()
            .member(node)
            .is_some_and(|miner| miner.is_ready())
    }

    /// Checks that a member is ready that serves what is asked for, as [`ServedLayer`] does.
    ///
    /// # Errors
    /// `no_miner_ready`, `model_not_found`, `task_unsupported`, and what the input says where it names no model.
    pub fn check_input(&self, input: &Input) -> Result<(), Error> {
        let snapshot = self.roster.snapshot();
        snapshot.serving(input.task(), input.model()?).map(|_| ())
    }

    /// Waits so long for the first miners when it is initialised, 10 s by default.
    #[must_use]
    pub fn startup_wait(mut self, limit: Duration) -> Self {
        self.settings.startup_wait = limit;
        self
    }

    /// Lets replies of a miner that leaves go on for so long, 30 s by default.
    #[must_use]
    pub fn drain(mut self, limit: Duration) -> Self {
        self.settings.drain = limit;
        self
    }
}

impl fmt::Debug for MinerPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let snapshot = self.roster.snapshot();
        f.debug_struct("MinerPool")
            .field("members", &snapshot.miners.len())
            .field("ready", &snapshot.ready)
            .field("balance", &self.balance)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl InferenceModule for MinerPool {
    async fn initialize(&self) -> Result<(), Error> {
        let mut follower = self.follower.lock().await;
        if let Some(ending) = follower.as_mut().filter(|running| running.is_ending()) {
            // A shutdown that was given up midway: a new follower must not share the roster with this one.
            let ended = ending.end().await;
            *follower = None;
            if let Err(error) = ended {
                tracing::error!(%error, "the pool did not shut down before it starts again");
            }
        }
        let mut settled = follower
            .get_or_insert_with(|| {
                let care = Care::new(self.roster.clone(), self.settings, self.interface.clone());
                Follower::start(
                    self.directory.clone(),
                    self.connect.clone(),
                    self.balance.clone(),
                    care,
                )
            })
            .settled();
        drop(follower);
        let all_tried = settled.wait_for(|settled| *settled);
        if tokio::time::timeout(self.settings.startup_wait, all_tried)
            .await
            .is_err()
        {
            tracing::info!("some miners have not answered yet; the pool starts without them");
        }
        Ok(())
    }

    async fn health_check(&self) -> Result<Health, Error> {
        Ok(self.roster.snapshot().health.clone())
    }

    fn get_capabilities(&self) -> ModuleCapabilities {
        self.roster.snapshot().capabilities.clone()
    }

    async fn run_inference(&self, input: Input) -> Result<Output, Error> {
        self.dispatch(input).await
    }

    #[expect(clippy::cast_precision_loss, reason = "numbers of miners")]
    fn get_metrics(&self) -> MetricsData {
        let snapshot = self.roster.snapshot();
        let now = Instant::now();
        let ejected = snapshot.miners.iter().filter(|miner| miner.is_ejected(now));
        let mut metrics = MetricsData::default();
        metrics.gauge("pool.members", snapshot.miners.len() as f64);
        metrics.gauge("pool.unreachable", self.roster.unreachable() as f64);
        metrics.gauge("pool.ready", snapshot.ready as f64);
        metrics.gauge("pool.ejected", ejected.count() as f64);
        for miner in &snapshot.miners {
            let labels = [("miner", miner.node().as_str())];
            metrics.counter_of("pool.requests", &labels, miner.requests());
            metrics.counter_of("pool.failures", &labels, miner.failures());
            metrics.gauge_of("pool.in_flight", &labels, f64::from(miner.in_flight()));
            metrics.gauge_of("pool.load", &labels, miner.idle_load());
            let Some(claimed) = miner.claimed() else { continue };
            if let Some(slots) = claimed.slots {
                metrics.gauge_of("pool.miner_slots", &labels, f64::from(slots));
            }
            metrics.gauge_of("pool.miner_busy", &labels, f64::from(claimed.busy));
            metrics.gauge_of("pool.miner_waiting", &labels, f64::from(claimed.waiting));
        }
        metrics
    }

    async fn shutdown(&self) -> Result<(), Error> {
        let mut follower = self.follower.lock().await;
        let Some(running) = follower.as_mut() else {
            return Ok(());
        };
        let ended = running.end().await;
        *follower = None;
        ended
    }
}

/// What speaks the same major version as this crate.
fn compatible_interface() -> VersionReq {
    VersionReq {
        comparators: vec![Comparator {
            op: Op::Caret,
            major: INTERFACE.major,
            minor: None,
            patch: None,
            pre: Prerelease::EMPTY,
        }],
    }
}
