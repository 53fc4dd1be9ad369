//! Vocabularies that are loaded when they are first needed.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use synapse_core::Error;
use tokio::{
    sync::Notify,
    time::{Instant, timeout_at},
};

use super::Vocabulary;

/// How long a request waits for the first load; then it is estimated.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long after a failure nobody tries again; it doubles with each failure, up to the longest.
const RETRY_AFTER: Duration = Duration::from_secs(15);
const LONGEST_RETRY: Duration = Duration::from_secs(600);

type Load = dyn Fn() -> Result<Vocabulary, Error> + Send + Sync;

/// One vocabulary, loaded once however many ask at once, on a thread that may block.
pub(super) struct Loading {
    name: String,
    load: Box<Load>,
    state: Mutex<State>,
    ended: Notify,
}

enum State {
    Idle,
    /// The first load goes on, and is waited for.
    First,
    /// Another one does; until it ends, requests are estimated.
    Again {
        failures: u32,
    },
    Failed {
        failures: u32,
        retry_at: Instant,
    },
    Loaded(Vocabulary),
}

impl Loading {
    pub(super) fn new(
        name: String,
        load: impl Fn() -> Result<Vocabulary, Error> + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self {
            name,
            load: Box::new(load),
            state: Mutex::new(State::Idle),
            ended: Notify::new(),
        })
    }

    /// The vocabulary; `None` where it could not be loaded, or not in time.
    pub(super) async fn get(self: &Arc<Self>) -> Option<Vocabulary> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let ended = self.ended.notified();
            tokio::pin!(ended);
            ended.as_mut().enable();
            if let Some(known) = self.known_or_begun() {
                return known;
            }
            if timeout_at(deadline, ended).await.is_err() {
                tracing::debug!(
                    vocabulary = self.name,
                    "loading takes long, so a request is estimated"
                );
                return None;
            }
        }
    }

    /// Loads it now, or says why that failed.
    pub(super) fn load_now(&self) -> Result<(), Error> {
        if matches!(*self.state(), State::Loaded(_)) {
            return Ok(());
        }
        let loaded = (self.load)()?;
        *self.state() = State::Loaded(loaded);
        self.ended.notify_waiters();
        Ok(())
    }

    /// What is known; `None` while the first load goes on, which is begun where nobody did.
    fn known_or_begun(self: &Arc<Self>) -> Option<Option<Vocabulary>> {
        let mut state = self.state();
        let failures = match &*state {
            State::Loaded(vocabulary) => return Some(Some(vocabulary.clone())),
            State::First => return None,
            State::Again { .. } => return Some(None),
            State::Failed { retry_at, .. } if Instant::now() < *retry_at => return Some(None),
            State::Failed { failures, .. } => Some(*failures),
            State::Idle => None,
        };
        *state = failures.map_or(State::First, |failures| State::Again { failures });
        drop(state);
        let begun = Begun {
            loading: self.clone(),
            ended: false,
        };
        // What it logs goes where the request's own events go.
        let log = tracing::dispatcher::get_default(Clone::clone);
        tokio::task::spawn_blocking(move || tracing::dispatcher::with_default(&log, || begun.finish()));
        failures.map(|_| None)
    }

    fn end(&self, result: Result<Vocabulary, Error>) {
        let mut state = self.state();
        let before = match &*state {
            State::Again { failures } => *failures,
            // Somebody loaded it in the meantime.
            State::Loaded(_) => return,
            _ => 0,
        };
        *state = match result {
            Ok(vocabulary) => {
                tracing::info!(vocabulary = self.name, "a vocabulary was loaded");
                State::Loaded(vocabulary)
            }
            Err(error) => {
                if before == 0 {
                    tracing::error!(
                        vocabulary = self.name,
                        %error,
                        hint = error.hint(),
                        "a vocabulary could not be loaded: its models' tokens are estimated until it can be"
                    );
                }
                let wait = RETRY_AFTER * 2_u32.saturating_pow(before.min(16));
                State::Failed {
                    failures: before.saturating_add(1),
                    retry_at: Instant::now() + wait.min(LONGEST_RETRY),
                }
            }
        };
        drop(state);
        self.ended.notify_waiters();
    }

    /// How often loading failed since it last succeeded.
    pub(super) fn failures(&self) -> u32 {
        match *self.state() {
            State::Again { failures } | State::Failed { failures, .. } => failures,
            _ => 0,
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A load that was begun: it ends, even where it panics or is never run.
struct Begun {
    loading: Arc<Loading>,
    ended: bool,
}

impl Begun {
    fn finish(mut self) {
        let result = (self.loading.load)();
        self.ended = true;
        self.loading.end(result);
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        if !self.ended {
            let error = Error::internal("loading_ended", "loading the vocabulary ended early");
            self.loading.end(Err(error));
        }
    }
}

impl fmt::Debug for Loading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loading")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
