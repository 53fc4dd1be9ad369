//! Where a module is in its life, as far as whoever serves it knows.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use synapse_core::{Error, Health, InferenceModule, Retry};
use tokio::time::Instant;

/// When a client may ask again whether a module is initialised.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// A module with its place in its life. A module whose router is embedded elsewhere is `Serving` throughout: its owner
/// initialises it.
#[derive(Clone)]
pub(crate) struct Lifecycle {
    module: Option<Arc<dyn InferenceModule>>,
    stage: Arc<Mutex<(Stage, Instant)>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Starting,
    Serving,
    Draining,
}

impl Lifecycle {
    pub(super) fn of(module: Option<Arc<dyn InferenceModule>>) -> Self {
        Self {
            module,
            stage: Arc::new(Mutex::new((Stage::Serving, Instant::now()))),
        }
    }

    /// `initialize` is under way.
    pub(crate) fn starting(&self) {
        self.enter(Stage::Starting);
    }

    /// The module can be asked.
    pub(crate) fn serving(&self) {
        self.enter(Stage::Serving);
    }

    /// No new connections; what is under way ends.
    pub(crate) fn draining(&self) {
        self.enter(Stage::Draining);
    }

    /// The module's `initialize`; nothing where there is no module.
    pub(crate) fn initialize(&self) -> impl Future<Output = Result<(), Error>> + Send + 'static {
        let module = self.module.clone();
        async move {
            match module {
                Some(module) => module.initialize().await,
                None => Ok(()),
            }
        }
    }

    /// The module's `shutdown`; nothing where there is no module.
    pub(crate) fn shutdown(&self) -> impl Future<Output = Result<(), Error>> + Send + 'static {
        let module = self.module.clone();
        async move {
            match module {
                Some(module) => module.shutdown().await,
                None => Ok(()),
            }
        }
    }

    /// Whether requests can be run now.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`](synapse_core::ErrorKind::Unavailable) until the module is initialised.
    pub(super) fn check(&self) -> Result<(), Error> {
        match self.stage().0 {
            Stage::Starting => Err(
                Error::unavailable("initialising", "the module is still initialising")
                    .with_retry(Retry::After(ASK_AGAIN))
                    .with_hint("GET /health/ready answers 200 once it is done"),
            ),
            Stage::Serving | Stage::Draining => Ok(()),
        }
    }

    /// What there is to say without asking the module.
    pub(super) fn health(&self) -> Health {
        let (stage, since) = *self.stage();
        match stage {
            Stage::Starting => Health::unhealthy("the module is initialising").since(since),
            Stage::Serving => Health::ready().since(since),
            Stage::Draining => Health::unhealthy("the server is shutting down").since(since),
        }
    }

    fn enter(&self, stage: Stage) {
        *self.stage() = (stage, Instant::now());
    }

    fn stage(&self) -> MutexGuard<'_, (Stage, Instant)> {
        self.stage
            .lock()
            .expect("nothing panics while it holds the stage")
    }
}

impl fmt::Debug for Lifecycle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lifecycle")
            .field("stage", &self.stage().0)
            .finish_non_exhaustive()
    }
}
