//! One replica, and what is under way with it.

use std::{
    fmt,
    pin::pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering::SeqCst},
    },
};

use synapse_core::{Capacity, Ending, Error, ErrorKind, Health, InferenceModule, ModuleCapabilities, Tap};
use tokio::{sync::Notify, time::Instant};

use super::roster::Roster;

/// One replica.
pub(super) struct Replica {
    pub(super) number: u32,
    pub(super) module: Arc<dyn InferenceModule>,
    in_flight: AtomicU32,
    idle: Notify,
    /// A request failed as it would with a replica that is not well.
    suspected: Notify,
    seen: Mutex<Seen>,
}

/// What it said when it was last looked at.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    capabilities: ModuleCapabilities,
    capacity: Option<Capacity>,
    /// Requests of others that it worked on.
    others: u32,
}

impl Seen {
    /// What `module` says with this health, and so many requests of this set under way.
    pub(super) fn of(module: &dyn InferenceModule, health: &Health, in_flight: u32) -> Self {
        let capacity = health.capacity();
        let busy = capacity.map_or(0, |capacity| capacity.busy);
        Self {
            capabilities: module.get_capabilities(),
            capacity,
            others: busy.saturating_sub(in_flight),
        }
    }

    /// How many requests it works on at once: as it measures, else as it claims, else one.
    fn slots(&self) -> u32 {
        let measured = self.capacity.and_then(|capacity| capacity.slots);
        measured.or(self.capabilities.concurrency).unwrap_or(1).max(1)
    }
}

impl Replica {
    pub(super) fn new(number: u32, module: Arc<dyn InferenceModule>, seen: Seen) -> Self {
        Self {
            number,
            module,
            in_flight: AtomicU32::new(0),
            idle: Notify::new(),
            suspected: Notify::new(),
            seen: Mutex::new(seen),
        }
    }

    pub(super) fn see(&self, seen: Seen) {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = seen;
    }

    pub(super) fn capabilities(&self) -> ModuleCapabilities {
        self.seen().capabilities
    }

    fn seen(&self) -> Seen {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn slots(&self) -> u32 {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).slots()
    }

    /// What it has room for now: as it said, but for what was sent to it since.
    pub(super) fn capacity(&self) -> Capacity {
        let seen = self.seen();
        let mut capacity = seen.capacity.unwrap_or_default();
        capacity.slots = Some(seen.slots());
        capacity.busy = seen.others.saturating_add(self.in_flight());
        capacity
    }

    pub(super) fn in_flight(&self) -> u32 {
        self.in_flight.load(SeqCst)
    }

    /// How full it is, from 0.
    pub(super) fn crowding(&self) -> f64 {
        f64::from(self.in_flight()) / f64::from(self.slots())
    }

    /// Counts a request in. Only while the roster is held: whoever drains it took it from there first.
    pub(super) fn enter(&self) {
        self.in_flight.fetch_add(1, SeqCst);
    }

    fn exit(&self) {
        if self.in_flight.fetch_sub(1, SeqCst) == 1 {
            self.idle.notify_waiters();
        }
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

    /// Waits until a request fails as it would with a replica that is not well. Cancel safe.
    pub(super) async fn suspected(&self) {
        self.suspected.notified().await;
    }
}

impl fmt::Debug for Replica {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replica")
            .field("number", &self.number)
            .field("in_flight", &self.in_flight())
            .finish_non_exhaustive()
    }
}

/// Whether an error says more of the replica than of the request, so that another may answer.
pub(super) fn blames_replica(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Unavailable | ErrorKind::Broken | ErrorKind::Overloaded | ErrorKind::Internal
    )
}

/// A request that a replica works on, until its body ends.
pub(super) struct UnderWay {
    roster: Arc<Roster>,
    replica: Arc<Replica>,
    started: Instant,
}

impl UnderWay {
    /// Of a request that was counted in.
    pub(super) fn new(roster: Arc<Roster>, replica: Arc<Replica>) -> Self {
        Self {
            roster,
            replica,
            started: Instant::now(),
        }
    }
}

impl Tap for UnderWay {
    fn on_end(&mut self, ending: &Ending) {
        match ending {
            Ending::Complete => self.roster.observe(self.started.elapsed()),
            Ending::Broken(error) if blames_replica(error) => self.replica.suspected.notify_one(),
            _ => {}
        }
        self.replica.exit();
    }
}
