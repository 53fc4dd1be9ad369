//! Where a module is in its life, as far as whoever serves it knows.

use std::{
    fmt,
    panic::resume_unwind,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use synapse_core::{Error, Health, InferenceModule, Retry};
use tokio::{task::JoinSet, time::Instant};

/// When a client may ask again whether a module is initialised.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// A module with its place in its life. A module whose router is embedded elsewhere is `Serving` throughout: its owner
/// initialises it.
#[derive(Clone)]
pub(crate) struct Lifecycle {
    module: Option<Arc<dyn InferenceModule>>,
    stage: Arc<Mutex<(Stage, Instant)>>,
    gates: Arc<Mutex<Vec<Gate>>>,
}

/// What a node waits for before it serves, besides its module.
struct Gate {
    what: Arc<str>,
    /// Taken by whoever starts the node.
    opens: Option<Opens>,
    is_open: bool,
}

type Opens = Pin<Box<dyn Future<Output = Result<(), Error>> + Send>>;

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
            gates: Arc::default(),
        }
    }

    /// A start takes until `opens` is done, too; meanwhile the node says that it waits for `what`.
    pub(super) fn gate(
        &self,
        what: Arc<str>,
        opens: impl Future<Output = Result<(), Error>> + Send + 'static,
    ) {
        self.gates().push(Gate {
            what,
            opens: Some(Box::pin(opens)),
            is_open: false,
        });
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

    /// The module's `initialize` and whatever else the node waits for, all at once.
    pub(crate) fn initialize(&self) -> impl Future<Output = Result<(), Error>> + Send + 'static {
        let this = self.clone();
        async move {
            let mut starting = JoinSet::new();
            if let Some(module) = this.module.clone() {
                starting.spawn(async move { module.initialize().await });
            }
            this.spawn_gates(&mut starting);
            while let Some(started) = starting.join_next().await {
                match started.map_err(tokio::task::JoinError::try_into_panic) {
                    Ok(started) => started?,
                    Err(Ok(payload)) => resume_unwind(payload),
                    Err(Err(_)) => {}
                }
            }
            Ok(())
        }
    }

    fn spawn_gates(&self, starting: &mut JoinSet<Result<(), Error>>) {
        for (at, gate) in self.gates().iter_mut().enumerate() {
            let Some(opens) = gate.opens.take() else { continue };
            let gates = self.gates.clone();
            starting.spawn(async move {
                opens.await?;
                // Gates are only ever added, so each stays where it is.
                lock(&gates)[at].is_open = true;
                Ok(())
            });
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
    pub(crate) fn check(&self) -> Result<(), Error> {
        match self.stage().0 {
            Stage::Starting => Err(Error::unavailable("initialising", self.awaited())
                .with_retry(Retry::After(ASK_AGAIN))
                .with_hint("GET /health/ready answers 200 once it is done")),
            Stage::Serving | Stage::Draining => Ok(()),
        }
    }

    /// Whether there is anybody to ask.
    pub(super) fn has_module(&self) -> bool {
        self.module.is_some()
    }

    /// What there is to say without asking the module.
    pub(super) fn health(&self) -> Health {
        let (stage, since) = *self.stage();
        match stage {
            Stage::Starting => Health::unhealthy(self.awaited()).since(since),
            Stage::Serving => Health::ready().since(since),
            Stage::Draining => Health::unhealthy("the server is shutting down").since(since),
        }
    }

    /// What a start still takes. The module may be done sooner than the rest, which nobody asks.
    fn awaited(&self) -> String {
        let gates = self.gates();
        let shut = gates.iter().filter(|gate| !gate.is_open);
        let waits: Vec<&str> = shut.map(|gate| &*gate.what).collect();
        match waits[..] {
            [] => "the module is initialising".to_owned(),
            _ => format!("the node waits for {}", waits.join(", and for ")),
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

    fn gates(&self) -> MutexGuard<'_, Vec<Gate>> {
        lock(&self.gates)
    }
}

fn lock(gates: &Mutex<Vec<Gate>>) -> MutexGuard<'_, Vec<Gate>> {
    gates.lock().expect("nothing panics while it holds the gates")
}

impl fmt::Debug for Lifecycle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lifecycle")
            .field("stage", &self.stage().0)
            .finish_non_exhaustive()
    }
}
