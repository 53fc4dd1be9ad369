//! Rendering off the caller's thread, and no longer than somebody would wait.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use crate::error::LlamaError;

/// How long one rendering may take, the wait for its turn included. Real templates take milliseconds.
const PATIENCE: Duration = Duration::from_secs(2);
/// How many renderings of one template may run at once; one that never ends keeps its place.
const PLACES: usize = 4;

/// Runs a template's renderings in threads that can be left behind.
///
/// The template engine's fuel bounds steps and bytes, and does not see the work inside a step: going through a list
/// that was doubled sixty times is one. Nothing can stop a thread that is at it, so its caller leaves after a while, and
/// the few places that there are keep a hostile template from having more than a few such threads.
#[derive(Debug)]
pub(super) struct Patience {
    limit: Duration,
    places: Arc<Places>,
}

#[derive(Debug)]
struct Places {
    free: Mutex<usize>,
    freed: Condvar,
}

/// A thread's place; given back when the thread is done, whoever still waits for it.
struct Place(Arc<Places>);

impl Default for Patience {
    fn default() -> Self {
        Self {
            limit: PATIENCE,
            places: Arc::new(Places {
                free: Mutex::new(PLACES),
                freed: Condvar::new(),
            }),
        }
    }
}

impl Patience {
    /// What `work` returns, unless it takes too long.
    pub(super) fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, LlamaError> {
        let late = || LlamaError::Template(format!("the template took longer than {:?}", self.limit));
        let until = Instant::now() + self.limit;
        let place = self.places.take(self.limit).ok_or(LlamaError::RenderingBusy)?;
        let (done, result) = mpsc::sync_channel(1);
        let thread = thread::Builder::new().name("synapse-template".to_owned());
        let started = thread.spawn(move || {
            let rendered = work();
            drop(place);
            // Where nobody waits any more, nobody needs it.
            let _left = done.send(rendered);
        });
        started
            .map_err(|error| LlamaError::Template(format!("no thread could be started for it ({error})")))?;
        let left = until.saturating_duration_since(Instant::now());
        result.recv_timeout(left).map_err(|error| match error {
            mpsc::RecvTimeoutError::Timeout => late(),
            mpsc::RecvTimeoutError::Disconnected => {
                LlamaError::Template("the template engine panicked".to_owned())
            }
        })
    }
}

impl Places {
    fn take(self: &Arc<Self>, limit: Duration) -> Option<Place> {
        let waited = self
            .freed
            .wait_timeout_while(self.free(), limit, |free| *free == 0);
        let (mut free, _) = waited.unwrap_or_else(PoisonError::into_inner);
        *free = free.checked_sub(1)?;
        Some(Place(Arc::clone(self)))
    }

    fn free(&self) -> MutexGuard<'_, usize> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        *self.0.free() += 1;
        self.0.freed.notify_one();
    }
}
