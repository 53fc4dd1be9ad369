//! Miners behind one door: a pool that follows the directory, chooses, and fails over.
//!
//! [`MinerPool`] is a module. It connects the miners that a directory lists, looks after each of them, and sends every
//! request to one that serves what is asked: the better of two at random ([`P2c`]) by load ([`PeakEwma`]). What fails
//! before its first content is tried elsewhere; what failed after it is broken, since the client has seen a part.

mod attempt;
mod balance;
mod failover;
mod follow;
mod miner;
mod random;
mod roster;
mod settings;
mod snapshot;
mod tend;

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use synapse_core::{
    Connect, Deadline, Directory, Error, Health, InferenceModule, Input, MetricsData, ModuleCapabilities,
    Output, Watch,
};
use tokio::{sync::Mutex, time::Instant};

use self::{
    attempt::ask,
    failover::{Failures, may_ask_another},
    follow::Follower,
    miner::Miner,
    roster::Roster,
    settings::Settings,
    snapshot::no_miner,
    tend::Care,
};
pub use self::{
    attempt::{Attempt, Excluded},
    balance::{Balance, Candidates, Load, Meter, Observation, P2c, PeakEwma},
};

/// When to come back where nobody can be asked now and nobody said when.
const PATIENCE: Duration = Duration::from_secs(1);

/// The miners of a directory as one module.
///
/// [`initialize`](InferenceModule::initialize) starts a task that follows the directory, and returns once each miner
/// listed then was tried (waiting 10 s at most): a gateway starts even while no miner is up. From then on
///
/// - a miner that joins is initialised in the background, again and again until it answers, and asked only then;
/// - a miner that leaves or moves is asked no more, its replies under way may end (30 s at most), and it is shut down;
/// - each miner's health and capabilities are looked at every 15 s. Two looks missed, or one unhealthy, and it is
///   asked no more until it can be initialised again;
/// - a miner that failed three requests in a row is ejected for 5 s, doubling up to 5 minutes while it goes on; at most
///   half of the miners (but always one) are ejected at once, and who is ejected is still asked when nobody else is left.
///
/// A request fails over before its first content to miners not tried yet, up to [`attempts`](MinerPool::attempts): after
/// an error that may be different elsewhere, a refusal, a reply without content, or a panic; never after an error that
/// is the caller's fault. A request that its client dropped is no failure of the miner.
///
/// [`shutdown`](InferenceModule::shutdown) drains and ends all of it; dropping the pool ends its tasks at once, and
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

    /// Looks at each miner so often, every 15 s by default, with jitter.
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

    /// The next to ask: one that is not ejected, else any that was not tried and is not excluded.
    fn pick(&self, miners: &[Arc<Miner>], tried: &[usize], excluded: Option<&Excluded>) -> Option<usize> {
        let now = Instant::now();
        let left = |index: usize, miner: &Miner| {
            !tried.contains(&index)
                && miner.is_ready()
                && !miner.is_leaving()
                && !excluded.is_some_and(|excluded| excluded.contains(miner.node()))
        };
        let open = |index: usize, miner: &Miner| left(index, miner) && !miner.is_ejected(now);
        self.balance
            .pick(&Candidates::new(miners, &open))
            .filter(|index| miners.get(*index).is_some_and(|miner| open(*index, miner)))
            .or_else(|| {
                self.balance
                    .pick(&Candidates::new(miners, &left))
                    .filter(|index| miners.get(*index).is_some_and(|miner| left(*index, miner)))
            })
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
        let mut settled = self
            .follower
            .lock()
            .await
            .get_or_insert_with(|| {
                let care = Care::new(self.roster.clone(), self.settings);
                Follower::start(
                    self.directory.clone(),
                    self.connect.clone(),
                    self.balance.clone(),
                    care,
                )
            })
            .settled();
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

    async fn run_inference(&self, mut input: Input) -> Result<Output, Error> {
        let miners = self
            .roster
            .snapshot()
            .serving(input.task(), input.model()?)?
            .clone();
        let excluded = input.extensions().get::<Excluded>().cloned();
        let deadline = input.extensions().get::<Deadline>().copied();
        let (mut tried, mut failures, mut attempt) = (Vec::new(), Failures::default(), 0);
        while attempt < self.settings.attempts {
            let Some(index) = self.pick(&miners, &tried, excluded.as_ref()) else {
                break;
            };
            let miner = &miners[index];
            input.extensions_mut().insert(Attempt::new(attempt + 1));
            let asked = ask(&self.roster, miner, input.clone(), self.settings.first_content).await;
            let Some(result) = asked else {
                tried.push(index);
                continue;
            };
            let error = match result {
                Ok(output) => return Ok(output),
                Err(error) if may_ask_another(&error) => error,
                Err(error) => return Err(error),
            };
            tracing::debug!(miner = %miner.node(), code = error.code(), %error, "a miner failed before its first content");
            tried.push(index);
            failures.add(error);
            attempt += 1;
            if deadline.is_some_and(|deadline| deadline.instant() <= Instant::now()) {
                break;
            }
        }
        Err(failures
            .into_error()
            .unwrap_or_else(|| no_miner("no miner is left to ask for this request")))
    }

    #[expect(clippy::cast_precision_loss, reason = "numbers of miners")]
    fn get_metrics(&self) -> MetricsData {
        let snapshot = self.roster.snapshot();
        let now = Instant::now();
        let ejected = snapshot.miners.iter().filter(|miner| miner.is_ejected(now));
        let mut metrics = MetricsData::default();
        metrics.gauge("pool.members", snapshot.miners.len() as f64);
        metrics.gauge("pool.ready", snapshot.ready as f64);
        metrics.gauge("pool.ejected", ejected.count() as f64);
        for miner in &snapshot.miners {
            let labels = [("miner", miner.node().as_str())];
            metrics.counter_of("pool.requests", &labels, miner.requests());
            metrics.counter_of("pool.failures", &labels, miner.failures());
            metrics.gauge_of("pool.in_flight", &labels, f64::from(miner.in_flight()));
            metrics.gauge_of("pool.load", &labels, miner.idle_load());
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
