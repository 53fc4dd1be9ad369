//! A module whose models share a memory.

use std::{fmt, sync::Arc, time::Duration};

use synapse_core::{
    Deadline, Error, ErrorKind, Health, InferenceModule, Input, MetricsData, ModuleCapabilities, Output,
    Pending, Retry, async_trait,
};
use tokio::{
    sync::Mutex,
    time::{Instant, timeout_at},
};

use super::{
    Budget, Loader, ResidencyPolicy, SharedModel,
    keeper::{Keeper, Running},
    shelf::{Answer, Asked, Shelf},
};

/// How long a request waits for its model, where nobody said otherwise.
const PATIENCE: Duration = Duration::from_secs(30);
/// Nobody is told to come back sooner, nor later than this.
const SOONEST: Duration = Duration::from_secs(1);
const LATEST: Duration = Duration::from_secs(120);

/// A module whose models share a memory: which of them are loaded follows what is asked for.
///
/// A request for a model that is loaded goes straight to the module. One for another waits until it is, for
/// [`patience`](Self::patience) (30 s) and its deadline at most, and 256 of them at once; else it is refused with
/// `model_loading` and when to come back. A model that did not load is not tried again for half a minute, in which requests
/// for it are refused with the reason. Models that are not named here are left to the module. An
/// [`OllamaModule`](crate::ollama::OllamaModule) is its own loader: a clone of it.
///
/// [`initialize`](InferenceModule::initialize) loads what is pinned, and starts the task that does the rest;
/// [`shutdown`](InferenceModule::shutdown) ends it and leaves loaded what is. While a pinned model is not loaded its health
/// is degraded. The metrics, by model: `residency.loaded`, `residency.waiting`, `residency.requests_per_second`,
/// `residency.loads` and `residency.unloads`.
pub struct Residency<M> {
    module: M,
    shelf: Arc<Shelf>,
    loader: Arc<dyn Loader>,
    policy: ResidencyPolicy,
    budget: Budget,
    patience: Duration,
    running: Mutex<Option<Running>>,
}

impl<M: InferenceModule> Residency<M> {
    /// These `models` of `module`, which `loader` loads, in a memory of this size.
    pub fn new(
        module: M,
        loader: impl Loader,
        models: impl IntoIterator<Item = SharedModel>,
        budget: Budget,
    ) -> Self {
        Self {
            module,
            shelf: Arc::new(Shelf::new(models.into_iter().collect())),
            loader: Arc::new(loader),
            policy: ResidencyPolicy::default(),
            budget,
            patience: PATIENCE,
            running: Mutex::default(),
        }
    }

    /// Goes by this policy instead of the usual one.
    #[must_use]
    pub fn policy(mut self, policy: ResidencyPolicy) -> Self {
        self.policy = policy;
        self
    }

    /// Lets a request wait so long for its model, 30 s by default.
    #[must_use]
    pub fn patience(mut self, limit: Duration) -> Self {
        self.patience = limit;
        self
    }

    fn keeper(&self) -> Keeper {
        Keeper {
            shelf: self.shelf.clone(),
            loader: self.loader.clone(),
            policy: self.policy,
            budget: self.budget.clone(),
        }
    }

    /// Waits until the model can be asked.
    async fn enter(&self, at: usize, input: &Input) -> Result<Asked, Error> {
        let mut changed = self.shelf.changed.subscribe();
        let refuse = |takes| Err(loading(&self.shelf.id(at), takes));
        match self.shelf.enter(at, false) {
            Answer::Yes(asked) => return Ok(asked),
            Answer::Failed(error) => return Err(error),
            Answer::Full(takes) => return refuse(takes),
            Answer::Waits(_) => {}
        }
        let _waiting = self.shelf.wait(at);
        let patience = Instant::now().checked_add(self.patience);
        let deadline = input.extensions().get::<Deadline>().map(|end| end.instant());
        let until = patience.into_iter().chain(deadline).min();
        loop {
            match self.shelf.enter(at, true) {
                Answer::Yes(asked) => return Ok(asked),
                Answer::Failed(error) => return Err(error),
                Answer::Full(takes) => return refuse(takes),
                Answer::Waits(takes) => match until {
                    Some(until) => {
                        if timeout_at(until, changed.changed()).await.is_err() {
                            return refuse(takes);
                        }
                    }
                    // Nothing bounds the wait: the shelf lives as long as this module.
                    None => {
                        let _ = changed.changed().await;
                    }
                },
            }
        }
    }
}

impl<M: fmt::Debug> fmt::Debug for Residency<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Residency")
            .field("module", &self.module)
            .field("shelf", &self.shelf)
            .field("policy", &self.policy)
            .field("budget", &self.budget)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl<M: InferenceModule> InferenceModule for Residency<M> {
    async fn initialize(&self) -> Result<(), Error> {
        self.module.initialize().await?;
        let mut running = self.running.lock().await;
        if running.is_none() {
            let keeper = self.keeper();
            keeper.look().await;
            while let Some(step) = keeper.next() {
                if !keeper.take(step).await {
                    break;
                }
            }
            *running = Some(keeper.start());
        }
        Ok(())
    }

    async fn health_check(&self) -> Result<Health, Error> {
        let health = self.module.health_check().await?;
        Ok(match self.shelf.missing() {
            Some(model) => health.worse(Health::degraded(format!("the model {model} is not loaded"))),
            None => health,
        })
    }

    fn get_capabilities(&self) -> ModuleCapabilities {
        self.module.get_capabilities()
    }

    async fn run_inference(&self, input: Input) -> Result<Output, Error> {
        let Some(at) = self.shelf.find(input.model()?) else {
            return self.module.run_inference(input).await;
        };
        self.shelf.count(at);
        let asked = Pending::new(self.enter(at, &input).await?);
        asked.settle(self.module.run_inference(input).await)
    }

    fn get_metrics(&self) -> MetricsData {
        let mut metrics = self.module.get_metrics();
        self.shelf.metrics(&mut metrics);
        metrics
    }

    async fn shutdown(&self) -> Result<(), Error> {
        if let Some(mut running) = self.running.lock().await.take() {
            running.end().await;
        }
        self.module.shutdown().await
    }
}

/// The model is not loaded, which takes about so long.
fn loading(model: &str, takes: Duration) -> Error {
    let seconds = Duration::from_secs(takes.as_secs() + 1).clamp(SOONEST, LATEST);
    Error::new(
        ErrorKind::Overloaded,
        "model_loading",
        format!("the model {model:?} is not loaded now, and shares its memory with others"),
    )
    .with_retry(Retry::After(seconds))
    .with_param("model")
    .with_hint("retry after the time given, or ask another miner")
}
