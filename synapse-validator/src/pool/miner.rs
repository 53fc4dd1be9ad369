//! One member of the pool: what it is, how it does, and what is under way with it.

use std::{
    fmt,
    future::poll_fn,
    pin::pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    task::Poll,
    time::Duration,
};

use synapse_core::{Capacity, Endpoint, Error, InferenceModule, Member, ModuleCapabilities, NodeId};
use tokio::{
    sync::{Notify, watch},
    time::Instant,
};

use super::{
    balance::{Meter, Observation},
    room::Room,
    silence::Silence,
};

/// Failures in a row after which a member is no longer asked for a while.
const FAILURES_TO_EJECT: u32 = 3;
/// How long at first; doubles with each time in a row, up to [`EJECTED_MOST`].
const EJECTED_FIRST: Duration = Duration::from_secs(5);
const EJECTED_MOST: Duration = Duration::from_secs(300);

/// One member of the pool.
pub(super) struct Miner {
    node: NodeId,
    endpoint: Option<Endpoint>,
    module: Arc<dyn InferenceModule>,
    meter: Box<dyn Meter>,
    room: Room,
    capabilities: Mutex<Option<Arc<ModuleCapabilities>>>,
    ready: AtomicBool,
    tried: AtomicBool,
    leaving: watch::Sender<bool>,
    silence: Silence,
    in_flight: AtomicU32,
    idle: Notify,
    requests: AtomicU64,
    failures: AtomicU64,
    failures_in_row: AtomicU32,
    ejections_in_row: AtomicU32,
    joined: Instant,
    /// In milliseconds since `joined`.
    ejected_until: AtomicU64,
}

impl Miner {
    pub(super) fn new(member: &Member, module: Arc<dyn InferenceModule>, meter: Box<dyn Meter>) -> Self {
        Self {
            node: member.node.clone(),
            endpoint: member.endpoint.clone(),
            module,
            meter,
            room: Room::default(),
            capabilities: Mutex::default(),
            ready: AtomicBool::new(false),
            tried: AtomicBool::new(false),
            leaving: watch::Sender::new(false),
            silence: Silence::new(),
            in_flight: AtomicU32::new(0),
            idle: Notify::new(),
            requests: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            failures_in_row: AtomicU32::new(0),
            ejections_in_row: AtomicU32::new(0),
            joined: Instant::now(),
            ejected_until: AtomicU64::new(0),
        }
    }

    pub(super) fn node(&self) -> &NodeId {
        &self.node
    }

    pub(super) fn endpoint(&self) -> Option<&Endpoint> {
        self.endpoint.as_ref()
    }

    pub(super) fn module(&self) -> &Arc<dyn InferenceModule> {
        &self.module
    }

    /// How long it has not answered when it was looked at.
    pub(super) fn silence(&self) -> &Silence {
        &self.silence
    }

    /// As measured, and as much busier as it says that it is.
    pub(super) fn load(&self) -> f64 {
        let in_flight = self.in_flight();
        self.meter.load(in_flight) * self.room.crowding(in_flight)
    }

    /// It says that it has room for so much.
    pub(super) fn claims(&self, capacity: Option<Capacity>) {
        self.room.note(capacity, self.in_flight());
    }

    /// What it said last that it has room for.
    pub(super) fn claimed(&self) -> Option<Capacity> {
        self.room.claimed()
    }

    /// What it costs to ask it when it has nothing else to do.
    pub(super) fn idle_load(&self) -> f64 {
        self.meter.load(0)
    }

    pub(super) fn observe(&self, observation: Observation) {
        self.meter.observe(observation);
    }

    pub(super) fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::SeqCst)
    }

    pub(super) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    pub(super) fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// What it said it can do when it last answered; `None` where it never did.
    pub(super) fn capabilities(&self) -> Option<Arc<ModuleCapabilities>> {
        self.capabilities
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Whether it answered when it was last looked at.
    pub(super) fn is_ready(&self) -> bool {
        self.ready.load(Ordering::SeqCst)
    }

    /// Whether it was looked at once.
    pub(super) fn was_tried(&self) -> bool {
        self.tried.load(Ordering::SeqCst)
    }

    /// It answers, and can do this. Says whether that is news.
    pub(super) fn answers(&self, capabilities: ModuleCapabilities) -> bool {
        let mut known = self.capabilities.lock().unwrap_or_else(PoisonError::into_inner);
        let same = known.as_deref() == Some(&capabilities);
        if !same {
            *known = Some(Arc::new(capabilities));
        }
        drop(known);
        let first = !self.tried.swap(true, Ordering::SeqCst);
        let was_ready = self.ready.swap(true, Ordering::SeqCst);
        !same || !was_ready || first
    }

    /// It cannot be asked. Says whether that is news.
    pub(super) fn is_down(&self) -> bool {
        let first = !self.tried.swap(true, Ordering::SeqCst);
        self.ready.swap(false, Ordering::SeqCst) || first
    }

    /// No request is sent to it from now on.
    pub(super) fn leave(&self) {
        self.leaving.send_replace(true);
    }

    pub(super) fn is_leaving(&self) -> bool {
        *self.leaving.borrow()
    }

    pub(super) async fn left(&self) {
        let mut leaving = self.leaving.subscribe();
        // An error would mean that the sender is gone, which `self` holds.
        let _ = leaving.wait_for(|leaving| *leaving).await;
    }

    /// Waits until nothing is under way with it. Cancel safe.
    pub(super) async fn drained(&self) {
        loop {
            let mut idle = pin!(self.idle.notified());
            idle.as_mut().enable();
            if self.in_flight() == 0 {
                return;
            }
            idle.await;
        }
    }

    /// Counts a request in, unless the member is leaving: then whoever drains it may not have seen the request.
    pub(super) fn enter(&self) -> bool {
        self.in_flight.fetch_add(1, Ordering::SeqCst);
        if self.is_leaving() {
            self.exit();
            return false;
        }
        self.requests.fetch_add(1, Ordering::Relaxed);
        true
    }

    pub(super) fn exit(&self) {
        if self.in_flight.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.idle.notify_waiters();
        }
    }

    /// A reply of its was complete.
    pub(super) fn succeeded(&self) {
        self.failures_in_row.store(0, Ordering::Relaxed);
        self.ejections_in_row.store(0, Ordering::Relaxed);
    }

    /// It failed. Says whether it did so often enough in a row to be ejected.
    pub(super) fn failed(&self, now: Instant) -> bool {
        self.failures.fetch_add(1, Ordering::Relaxed);
        let in_row = self
            .failures_in_row
            .fetch_add(1, Ordering::Relaxed)
            .saturating_add(1);
        in_row >= FAILURES_TO_EJECT && !self.is_ejected(now)
    }

    /// It is not asked for a while, unless nobody else is left; longer each time in a row.
    pub(super) fn eject(&self, now: Instant) {
        let times = self.ejections_in_row.fetch_add(1, Ordering::Relaxed).min(16);
        let pause = EJECTED_FIRST.saturating_mul(1 << times).min(EJECTED_MOST);
        self.ejected_until
            .store(self.millis(now + pause), Ordering::Relaxed);
        tracing::debug!(miner = %self.node, ?pause, "ejected");
    }

    pub(super) fn is_ejected(&self, now: Instant) -> bool {
        self.ejected_until.load(Ordering::Relaxed) > self.millis(now)
    }

    fn millis(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.joined).as_millis()).unwrap_or(u64::MAX)
    }
}

impl fmt::Debug for Miner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Miner")
            .field("node", &self.node)
            .field("endpoint", &self.endpoint)
            .field("ready", &self.is_ready())
            .field("in_flight", &self.in_flight())
            .finish_non_exhaustive()
    }
}

/// Awaits what a member's module does for at most `limit`; a panic of it is an error too, so that it takes nothing else down.
pub(super) async fn bounded<T>(
    what: &'static str,
    limit: Duration,
    doing: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let mut doing = pin!(doing);
    let guarded = poll_fn(|cx| {
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| doing.as_mut().poll(cx)))
            .unwrap_or_else(|payload| Poll::Ready(Err(Error::from_panic(&*payload))))
    });
    tokio::time::timeout(limit, guarded).await.unwrap_or_else(|_| {
        Err(Error::new(
            synapse_core::ErrorKind::Timeout,
            "miner_silent",
            format!("the miner {what} within {limit:?}"),
        ))
    })
}
