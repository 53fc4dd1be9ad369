//! Requests of ours that an engine works on.

use std::sync::{
    Arc,
    atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
};

use tokio::sync::Notify;

/// What is under way, and whether anything arrives.
#[derive(Debug, Default)]
pub(super) struct Traffic {
    in_flight: AtomicUsize,
    /// Those whose caller waits for the engine now, rather than the engine for the caller.
    awaited: AtomicUsize,
    arrived: AtomicU64,
    idle: Notify,
}

impl Traffic {
    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.load(Relaxed)
    }

    pub(super) fn awaited(&self) -> usize {
        self.awaited.load(Relaxed)
    }

    /// How much has arrived so far.
    pub(super) fn arrived(&self) -> u64 {
        self.arrived.load(Relaxed)
    }

    /// Waits until nothing is under way.
    pub(super) async fn idle(&self) {
        loop {
            let idle = self.idle.notified();
            if self.in_flight() == 0 {
                return;
            }
            idle.await;
        }
    }

    /// One request, until it is dropped.
    pub(super) fn begin(self: &Arc<Self>) -> InFlight {
        self.in_flight.fetch_add(1, Relaxed);
        InFlight(self.clone())
    }
}

/// One request.
#[derive(Debug)]
pub(super) struct InFlight(Arc<Traffic>);

impl InFlight {
    /// Somebody waits for the engine, until this is dropped.
    pub(super) fn awaits(&self) -> Awaited {
        self.0.awaited.fetch_add(1, Relaxed);
        Awaited(self.0.clone())
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if self.0.in_flight.fetch_sub(1, Relaxed) == 1 {
            self.0.idle.notify_waiters();
        }
    }
}

/// A wait for the engine.
#[derive(Debug)]
pub(super) struct Awaited(Arc<Traffic>);

impl Drop for Awaited {
    fn drop(&mut self) {
        self.0.awaited.fetch_sub(1, Relaxed);
        self.0.arrived.fetch_add(1, Relaxed);
    }
}
