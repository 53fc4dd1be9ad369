//! What is left of a body when its last event is out and its reader is gone.

use std::{
    future::poll_fn,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use synapse_core::{Error, MetricsData};
use tokio::{runtime::Handle, sync::Semaphore, time::timeout};

use super::body::Source;

/// How long the end of a body is waited for, and how much may come before it.
const PATIENCE: Duration = Duration::from_secs(1);
const LONGEST: usize = 64 * 1024;
/// How many bodies may be drained at once; past it a connection is closed rather than kept.
const MOST: u32 = 64;

/// Reads complete bodies to their end, so that their connections can be used again. Bounded in number, time and bytes, and
/// waited for when the module shuts down.
#[derive(Debug, Clone)]
pub(super) struct Drains(Arc<State>);

#[derive(Debug)]
struct State {
    slots: Arc<Semaphore>,
    closed: AtomicBool,
    started: AtomicU64,
}

impl Drains {
    pub(super) fn new() -> Self {
        Self(Arc::new(State {
            slots: Arc::new(Semaphore::new(MOST as usize)),
            closed: AtomicBool::new(false),
            started: AtomicU64::new(0),
        }))
    }

    /// Drains `source` in a task of its own, or closes its connection where there is no place, or no runtime.
    pub(super) fn start(&self, mut source: Source) {
        let (Ok(slot), Ok(runtime)) = (self.0.slots.clone().try_acquire_owned(), Handle::try_current())
        else {
            return;
        };
        self.0.started.fetch_add(1, Relaxed);
        runtime.spawn(async move {
            let mut left = LONGEST;
            let ended = timeout(PATIENCE, async {
                while let Some(Ok(read)) = poll_fn(|cx| source.as_mut().poll_next(cx)).await {
                    match left.checked_sub(read.len()) {
                        Some(less) => left = less,
                        None => break,
                    }
                }
            });
            if ended.await.is_err() {
                tracing::debug!("a reply went on after its last event; its connection is closed");
            }
            drop(source);
            drop(slot);
        });
    }

    pub(super) fn check_open(&self) -> Result<(), Error> {
        match self.0.closed.load(Relaxed) {
            false => Ok(()),
            true => Err(Error::unavailable("shut_down", "the module was shut down")),
        }
    }

    /// Refuses what comes from now on, and waits for what is being drained.
    pub(super) async fn close(&self) {
        self.0.closed.store(true, Relaxed);
        // Each drain ends by itself, so this wait has an end; its own limit is for a runtime that starves them.
        let _ = timeout(PATIENCE * 2, self.0.slots.acquire_many(MOST)).await;
    }

    pub(super) fn report(&self, metrics: &mut MetricsData) {
        let running = MOST as usize - self.0.slots.available_permits();
        metrics.gauge(
            "client.draining",
            f64::from(u32::try_from(running).unwrap_or(MOST)),
        );
        metrics.counter("client.drained", self.0.started.load(Relaxed));
    }
}
