//! The replicas that answer, and what is known of the set.

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use synapse_core::{Capacity, Error, Health, MetricKind, MetricsData, ModuleCapabilities};
use tokio::{sync::watch, time::Instant};

use super::{Load, ReplicaEvent, replica::Replica};

/// How much the latest request counts in the mean time that one takes.
const RECENCY: f64 = 0.2;

type Told = Box<dyn Fn(&ReplicaEvent) + Send + Sync>;

/// The replicas that answer, and what is known of the set.
pub(super) struct Roster {
    pub(super) wanted: watch::Sender<u32>,
    /// Some replica became ready, or is not any more, or did not start.
    pub(super) changed: watch::Sender<()>,
    state: Mutex<State>,
    counts: Counts,
    told: Mutex<Option<Told>>,
}

struct State {
    /// Those that are asked, by number.
    ready: Vec<Arc<Replica>>,
    /// What the first that is ready claimed, or was.
    claims: Option<ModuleCapabilities>,
    /// The most that one was seen to work on at once as it was listed, for those that claim nothing.
    slots: u32,
    /// What those that ended had counted.
    ended: MetricsData,
    /// Seconds that a request takes.
    service: Option<f64>,
    /// Since when as many are ready as there are.
    since: Instant,
    failed: Option<Error>,
}

#[derive(Debug, Default)]
struct Counts {
    started: AtomicU64,
    failed: AtomicU64,
    replaced: AtomicU64,
    stopped: AtomicU64,
}

impl Roster {
    pub(super) fn new(wanted: u32) -> Self {
        Self {
            wanted: watch::Sender::new(wanted),
            changed: watch::Sender::new(()),
            state: Mutex::new(State {
                ready: Vec::new(),
                claims: None,
                slots: 1,
                ended: MetricsData::default(),
                service: None,
                since: Instant::now(),
                failed: None,
            }),
            counts: Counts::default(),
            told: Mutex::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn on_event(&self, told: impl Fn(&ReplicaEvent) + Send + Sync + 'static) {
        *self.told.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(told));
    }

    /// Counts what happened, and says it.
    pub(super) fn say(&self, event: &ReplicaEvent) {
        match event {
            ReplicaEvent::Started { .. } => self.counts.started.fetch_add(1, Relaxed),
            ReplicaEvent::StartFailed { .. } => self.counts.failed.fetch_add(1, Relaxed),
            ReplicaEvent::Replaced { .. } => self.counts.replaced.fetch_add(1, Relaxed),
            ReplicaEvent::Stopped { .. } => self.counts.stopped.fetch_add(1, Relaxed),
            _ => 0,
        };
        if event.is_alert() {
            tracing::warn!("{event}");
        } else {
            tracing::info!("{event}");
        }
        if let Some(told) = &*self.told.lock().unwrap_or_else(PoisonError::into_inner) {
            told(event);
        }
    }

    /// It is asked from now on.
    pub(super) fn list(self: &Arc<Self>, replica: &Arc<Replica>) -> Listed {
        let mut state = self.state();
        let at = state.ready.partition_point(|other| other.number < replica.number);
        state.ready.insert(at, replica.clone());
        state.slots = state.slots.max(replica.slots());
        state.since = Instant::now();
        drop(state);
        self.changed.send_replace(());
        Listed {
            roster: self.clone(),
            replica: replica.clone(),
        }
    }

    fn remove(&self, replica: &Arc<Replica>) {
        let mut state = self.state();
        if let [last] = &state.ready[..] {
            state.claims = Some(last.capabilities());
        }
        state.ready.retain(|other| !Arc::ptr_eq(other, replica));
        state.since = Instant::now();
        drop(state);
        self.changed.send_replace(());
    }

    /// A replica is ended: what it counted stays.
    pub(super) fn keep_counts(&self, replica: &Replica) {
        let mut counted = replica.module.get_metrics();
        counted.retain(|_, kind| kind == MetricKind::Counter);
        self.state().ended.merge(&counted);
    }

    /// The first replicas do not start, for this reason.
    pub(super) fn note_failure(&self, error: Error) {
        self.state().failed = Some(error);
        self.changed.send_replace(());
    }

    /// Why no replica started since this was last asked.
    pub(super) fn take_failure(&self) -> Option<Error> {
        self.state().failed.take()
    }

    /// The least busy of those that were not tried, with one request more.
    pub(super) fn enter_least_busy(&self, tried: &[u32]) -> Option<Arc<Replica>> {
        let state = self.state();
        let untried = state
            .ready
            .iter()
            .filter(|replica| !tried.contains(&replica.number));
        let replica = untried.min_by(|one, other| one.crowding().total_cmp(&other.crowding()))?;
        replica.enter();
        Some(replica.clone())
    }

    pub(super) fn ready(&self) -> Vec<Arc<Replica>> {
        self.state().ready.clone()
    }

    pub(super) fn is_ready(&self, number: u32) -> bool {
        self.state().ready.iter().any(|replica| replica.number == number)
    }

    /// A request took so long.
    pub(super) fn observe(&self, took: Duration) {
        let mut state = self.state();
        let took = took.as_secs_f64();
        state.service = Some(state.service.map_or(took, |mean| mean + (took - mean) * RECENCY));
    }

    /// What there is to do, but for what waits.
    pub(super) fn load(&self) -> Load {
        let state = self.state();
        Load {
            ready: u32::try_from(state.ready.len()).unwrap_or(u32::MAX),
            slots: sum(state.ready.iter().map(|replica| replica.slots())),
            busy: sum(state.ready.iter().map(|replica| replica.in_flight())),
            waiting: 0,
            service: state.service.map(Duration::from_secs_f64),
        }
    }

    pub(super) fn health(&self) -> Health {
        let wanted = *self.wanted.borrow();
        let state = self.state();
        let ready = u32::try_from(state.ready.len()).unwrap_or(u32::MAX);
        let health = match ready {
            0 => Health::unhealthy("no replica is ready"),
            _ if ready < wanted => Health::degraded(format!("{ready} of {wanted} replicas are ready")),
            _ => Health::ready(),
        };
        let all = state.ready.iter().map(|replica| replica.capacity());
        let health = health.since(state.since);
        match all.reduce(beside) {
            Some(capacity) => health.with_capacity(capacity),
            None => health.with_capacity(Capacity::new(0, 0)),
        }
    }

    /// As the first that is ready claims, or the last that was, with the concurrency of as many as there may be: how many
    /// there are changes often, and capabilities are what a directory is told.
    pub(super) fn capabilities(&self, most: u32) -> ModuleCapabilities {
        let state = self.state();
        let first = state.ready.first().map(|replica| replica.capabilities());
        let claims = first.or_else(|| state.claims.clone());
        let mut capabilities = claims.unwrap_or_else(|| ModuleCapabilities::new("replicas"));
        let each = capabilities.concurrency.unwrap_or(state.slots);
        capabilities.concurrency = Some(each.saturating_mul(most));
        capabilities
    }

    #[expect(clippy::cast_precision_loss, reason = "numbers of replicas")]
    pub(super) fn metrics(&self) -> MetricsData {
        let (ready, mut metrics) = {
            let state = self.state();
            (state.ready.clone(), state.ended.clone())
        };
        for replica in &ready {
            metrics.merge(&replica.module.get_metrics());
        }
        let load = self.load();
        metrics.gauge("scale.wanted", f64::from(*self.wanted.borrow()));
        metrics.gauge("scale.ready", ready.len() as f64);
        metrics.gauge("scale.slots", f64::from(load.slots));
        metrics.gauge("scale.in_flight", f64::from(load.busy));
        metrics.counter("scale.started", self.counts.started.load(Relaxed));
        metrics.counter("scale.start_failures", self.counts.failed.load(Relaxed));
        metrics.counter("scale.replaced", self.counts.replaced.load(Relaxed));
        metrics.counter("scale.stopped", self.counts.stopped.load(Relaxed));
        metrics
    }
}

/// What a replica says may be any number.
fn sum(counts: impl Iterator<Item = u32>) -> u32 {
    counts.fold(0, u32::saturating_add)
}

/// What two replicas have room for together: the places of both, and the memory of one machine.
fn beside(one: Capacity, other: Capacity) -> Capacity {
    let mut both = one.narrower(other);
    both.slots = one
        .slots
        .zip(other.slots)
        .map(|(one, other)| one.saturating_add(other));
    both.busy = one.busy.saturating_add(other.busy);
    both
}

impl fmt::Debug for Roster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Roster")
            .field("wanted", &*self.wanted.borrow())
            .field("ready", &self.state().ready)
            .finish_non_exhaustive()
    }
}

/// A replica that is asked, until this drops.
#[derive(Debug)]
pub(super) struct Listed {
    roster: Arc<Roster>,
    replica: Arc<Replica>,
}

impl Drop for Listed {
    fn drop(&mut self) {
        self.roster.remove(&self.replica);
    }
}
