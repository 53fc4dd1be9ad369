//! Requests that are under way, and waiting for them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use synapse_core::{Ending, Error, Tap};
use tokio::{sync::watch, time::timeout};

/// Counts requests under way, and lets none begin once it is closed.
#[derive(Debug, Clone)]
pub(super) struct Flights(Arc<State>);

#[derive(Debug)]
struct State {
    count: watch::Sender<u32>,
    closed: AtomicBool,
}

impl Flights {
    pub(super) fn new() -> Self {
        Self(Arc::new(State {
            count: watch::Sender::new(0),
            closed: AtomicBool::new(false),
        }))
    }

    /// A request that begins now.
    pub(super) fn begin(&self) -> Result<Flight, Error> {
        let flight = Flight(Some(self.0.clone()));
        self.0.count.send_modify(|count| *count += 1);
        // After it is counted: either it is seen here, or whoever closed waits for it.
        match self.0.closed.load(Ordering::SeqCst) {
            true => Err(Error::unavailable("shut_down", "the module was shut down")),
            false => Ok(flight),
        }
    }

    pub(super) fn count(&self) -> u32 {
        *self.0.count.borrow()
    }

    pub(super) fn is_closed(&self) -> bool {
        self.0.closed.load(Ordering::SeqCst)
    }

    /// Lets none begin from now on, and waits until none is left; how many are left after `limit`.
    pub(super) async fn close(&self, limit: Duration) -> u32 {
        self.0.closed.store(true, Ordering::SeqCst);
        let mut watched = self.0.count.subscribe();
        match timeout(limit, watched.wait_for(|count| *count == 0)).await {
            Ok(_) => 0,
            Err(_elapsed) => self.count(),
        }
    }
}

/// A request under way, until its body ends or it is dropped.
#[derive(Debug)]
pub(super) struct Flight(Option<Arc<State>>);

impl Flight {
    fn land(&mut self) {
        if let Some(state) = self.0.take() {
            state.count.send_modify(|count| *count = count.saturating_sub(1));
        }
    }
}

impl Tap for Flight {
    fn on_end(&mut self, _: &Ending) {
        self.land();
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.land();
    }
}
