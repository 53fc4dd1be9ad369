//! How long a member is waited for within its reply.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::Poll,
    time::Duration,
};

use synapse_core::{Chunk, Error};
use tokio::time::Instant;

/// How long a member is waited for within its reply: from a poll that finds nothing to what comes of it. A client that reads
/// slowly polls seldom, and that is no time of the member's. A clone is the same.
#[derive(Debug, Clone, Default)]
pub(super) struct Wait(Arc<Mutex<Waited>>);

#[derive(Debug, Default)]
struct Waited {
    all: Duration,
    /// Of the wait that ended last, where no chunk came of it.
    last: Duration,
    since: Option<Instant>,
}

impl Wait {
    /// Takes what came of a poll into account.
    pub(super) fn note(&self, polled: &Poll<Option<Result<Chunk, Error>>>) {
        let mut waited = self.lock();
        let Poll::Ready(ready) = polled else {
            waited.since.get_or_insert_with(Instant::now);
            return;
        };
        if let Some(since) = waited.since.take() {
            let last = since.elapsed();
            waited.last = last;
            waited.all += last;
        }
        if let Some(Ok(_)) = ready {
            waited.last = Duration::ZERO;
        }
    }

    /// All of it, the wait under way included.
    pub(super) fn all(&self) -> Duration {
        let waited = self.lock();
        waited.all + waited.since.map_or(Duration::ZERO, |since| since.elapsed())
    }

    /// How long nothing came.
    pub(super) fn lately(&self) -> Duration {
        let waited = self.lock();
        waited.since.map_or(waited.last, |since| since.elapsed())
    }

    fn lock(&self) -> MutexGuard<'_, Waited> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
