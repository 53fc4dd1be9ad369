//! Several replicas as one module.

use std::{fmt, sync::Arc, time::Duration};

use synapse_core::{
    Error, Health, InferenceModule, Input, MetricsData, ModuleCapabilities, Output, Pending, Retry,
    async_trait,
};
use tokio::{
    sync::Mutex,
    time::{Instant, timeout_at},
};

use super::{
    Demand, ReplicaEvent, ScalePolicy, Spawner,
    autoscaler::Autoscaler,
    manager::Manager,
    replica::{UnderWay, blames_replica},
    roster::Roster,
    settings::Settings,
};

/// When to come back where no replica is ready.
const SOON: Duration = Duration::from_secs(1);

/// Replicas of one module, as one module.
///
/// [`initialize`](InferenceModule::initialize) starts the task that looks after them, and returns once one is ready, or with
/// the error of the first that did not start. From then on
///
/// - a request goes to the replica with the fewest under way for its places; what fails before its first content by the
///   replica's fault (`Unavailable`, `Broken`, `Overloaded`, `Internal`) is tried with another, three at most;
/// - each replica is looked at every 2 s, and soon after such a failure. One that says that it is unhealthy, or misses two
///   looks, is asked no more; it is asked again where it recovers within 3 s, else ended and replaced, after half a second
///   at first and twice as long each time, up to a minute;
/// - one that is not wanted any more is asked no more, drains for a minute at most, and is shut down.
///
/// It claims what its replicas claim, with the `concurrency` of as many as there may be; its health is degraded where fewer
/// are ready than are wanted, and carries the capacity of those that are. Behind a queue use
/// [`scaled_by`](Self::scaled_by), with equal bounds where their number is fixed: it keeps the queue's places in step.
///
/// The metrics are those of the replicas, with what ended ones counted, and `scale.wanted`, `scale.ready`, `scale.slots`,
/// `scale.in_flight`, `scale.started`, `scale.start_failures`, `scale.replaced` and `scale.stopped`.
///
/// [`shutdown`](InferenceModule::shutdown) drains and ends all of them; dropping the set ends its task, and lets go of its
/// replicas, at once.
///
/// ```
/// use std::sync::Arc;
/// use synapse_core::{InferenceModule, ModuleExt, async_trait, testkit::Echo};
/// use synapse_miner::{QueueLayer, scale::{ReplicaSet, ScalePolicy, Spawner}};
///
/// /// Starts what needs no starting.
/// struct Echoes;
///
/// #[async_trait]
/// impl Spawner for Echoes {
///     async fn start(&self, _: u32) -> Result<Arc<dyn InferenceModule>, synapse_core::Error> {
///         Ok(Arc::new(Echo::new()))
///     }
/// }
///
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// let queue = QueueLayer::bounded(64);
/// let module = ReplicaSet::new(Echoes, 1)
///     .scaled_by(ScalePolicy::between(1, 4), queue.clone())
///     .with(queue.clone())
///     .attach(queue);
/// module.initialize().await?;
/// assert_eq!(module.get_capabilities().concurrency, Some(4));
/// module.shutdown().await?;
/// # Ok::<(), synapse_core::Error>(())
/// # }).unwrap();
/// ```
pub struct ReplicaSet<S> {
    spawner: Arc<S>,
    roster: Arc<Roster>,
    settings: Settings,
    most: u32,
    scaling: Option<(ScalePolicy, Arc<dyn Demand>)>,
    manager: Mutex<Option<Manager>>,
}

impl<S: Spawner> ReplicaSet<S> {
    /// So many replicas, at least one. Nothing runs before it is initialised.
    pub fn new(spawner: S, replicas: u32) -> Self {
        let replicas = replicas.max(1);
        Self {
            spawner: Arc::new(spawner),
            roster: Arc::new(Roster::new(replicas)),
            settings: Settings::default(),
            most: replicas,
            scaling: None,
            manager: Mutex::default(),
        }
    }

    /// As many as `policy` says, by how many wait at `demand`, which is told how many places there are.
    #[must_use]
    pub fn scaled_by(mut self, policy: ScalePolicy, demand: impl Demand) -> Self {
        self.roster
            .wanted
            .send_modify(|wanted| *wanted = (*wanted).clamp(policy.min(), policy.max()));
        self.most = policy.max();
        self.scaling = Some((policy, Arc::new(demand)));
        self
    }

    /// Calls `told` with what happens to replicas. It must not block.
    #[must_use]
    pub fn on_event(self, told: impl Fn(&ReplicaEvent) + Send + Sync + 'static) -> Self {
        self.roster.on_event(told);
        self
    }

    /// Waits so long for a replica to become ready, 10 minutes by default: it may load a large model.
    #[must_use]
    pub fn start_within(mut self, limit: Duration) -> Self {
        self.settings.start_within = limit;
        self
    }

    /// Looks at each replica so often, every 2 s by default.
    #[must_use]
    pub fn look_every(mut self, pause: Duration) -> Self {
        self.settings.look_every = pause.max(Duration::from_millis(10));
        self
    }

    /// Lets replies of a replica that is not wanted any more go on for so long, a minute by default.
    #[must_use]
    pub fn drain(mut self, limit: Duration) -> Self {
        self.settings.drain = limit;
        self
    }

    /// How many are wanted now.
    #[must_use]
    pub fn wanted(&self) -> u32 {
        *self.roster.wanted.borrow()
    }

    /// How many are ready now.
    #[must_use]
    pub fn ready(&self) -> usize {
        self.roster.ready().len()
    }
}

impl<S> fmt::Debug for ReplicaSet<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplicaSet")
            .field("roster", &self.roster)
            .field("most", &self.most)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl<S: Spawner> InferenceModule for ReplicaSet<S> {
    async fn initialize(&self) -> Result<(), Error> {
        let mut changed = self.roster.changed.subscribe();
        {
            let mut manager = self.manager.lock().await;
            manager.get_or_insert_with(|| {
                let scaling = self.scaling.clone();
                Manager::start(
                    self.spawner.clone(),
                    self.roster.clone(),
                    self.settings,
                    self.most,
                    scaling.map(|(policy, demand)| Autoscaler::new(policy, demand)),
                )
            });
        }
        let limit = self
            .settings
            .start_within
            .saturating_add(self.settings.look_within);
        let until = Instant::now().checked_add(limit);
        while self.ready() == 0 {
            if let Some(error) = self.roster.take_failure() {
                return Err(error);
            }
            match until {
                Some(until) if timeout_at(until, changed.changed()).await.is_err() => {
                    return Err(none_ready());
                }
                Some(_) => {}
                // The roster lives as long as this set.
                None => drop(changed.changed().await),
            }
        }
        Ok(())
    }

    async fn health_check(&self) -> Result<Health, Error> {
        Ok(self.roster.health())
    }

    fn get_capabilities(&self) -> ModuleCapabilities {
        self.roster.capabilities(self.most)
    }

    async fn run_inference(&self, input: Input) -> Result<Output, Error> {
        let (mut tried, mut last) = (Vec::new(), None);
        while tried.len() < self.settings.attempts
            && let Some(replica) = self.roster.enter_least_busy(&tried)
        {
            tried.push(replica.number);
            let pending = Pending::new(UnderWay::new(self.roster.clone(), replica.clone()));
            let answer = replica.module.run_inference(input.clone()).await;
            match pending.settle(answer) {
                Err(error) if blames_replica(&error) => {
                    let code = error.code();
                    tracing::debug!(
                        number = replica.number,
                        code,
                        "a replica failed before its first content"
                    );
                    last = Some(error);
                }
                answer => return answer,
            }
        }
        Err(last.unwrap_or_else(none_ready))
    }

    fn get_metrics(&self) -> MetricsData {
        self.roster.metrics()
    }

    async fn shutdown(&self) -> Result<(), Error> {
        let mut manager = self.manager.lock().await;
        let Some(running) = manager.as_mut() else {
            return Ok(());
        };
        let ended = running.end().await;
        *manager = None;
        ended
    }
}

fn none_ready() -> Error {
    Error::unavailable("no_replica_ready", "no replica of this module is ready")
        .with_retry(Retry::After(SOON))
        .with_hint("retry after the time given, or ask another miner")
}
