//! What the modules of this folder share: an engine at an address, what it turned out to serve, and how it last was.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::Duration,
};

use synapse_core::{
    Error, Health, InferenceModule, Input, MetricsData, ModuleCapabilities, Output, async_trait,
};
use synapse_http::{OpenAi, OpenAiModule};
use tokio::time::Instant;

use super::screen::{self, Reserved};

/// How long an answer to how it is holds, so that many who ask make one request.
const FRESH: Duration = Duration::from_secs(1);

/// What differs between engines.
#[async_trait]
pub(super) trait Engine: Send + Sync + 'static {
    /// Its name in capabilities and metrics.
    const NAME: &'static str;

    /// Its own fields that are not every caller's.
    const RESERVED: &'static [Reserved];

    /// What it claims before anybody looked.
    fn unseen(&self) -> ModuleCapabilities;

    /// Asks what it serves.
    async fn discover(&self, http: &OpenAiModule) -> Result<Found, Error>;

    /// Asks how it is.
    async fn look(&self, http: &OpenAiModule, found: &Found) -> Result<Seen, Error>;

    /// An error of a request, called what it is.
    fn explain(&self, error: Error) -> Error;
}

/// What an engine turned out to be.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) capabilities: ModuleCapabilities,
    /// Its release, as it says.
    pub(super) version: String,
    /// What tells this server and model from those that may be at the address later.
    pub(super) identity: String,
    /// How many requests it works on at once, where that is known.
    pub(super) slots: Option<u32>,
    /// Whether it tells which of those are taken.
    pub(super) tells_slots: bool,
    /// Whether it has a page of metrics.
    pub(super) tells_metrics: bool,
    /// How many tokens its vocabulary has, where that is known.
    pub(super) vocabulary: Option<u32>,
}

/// How an engine was when it was asked.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) health: Health,
    /// As in [`Found`]; `None` where it did not say.
    pub(super) identity: Option<String>,
    pub(super) numbers: Vec<Number>,
}

/// Something that an engine counted or measured.
#[derive(Debug, Clone, Copy)]
pub(super) struct Number {
    pub(super) name: &'static str,
    pub(super) value: f64,
    /// Whether it only grows, as long as the engine runs.
    pub(super) grows: bool,
}

#[derive(Debug)]
pub(super) struct Endpoint<E> {
    pub(super) engine: E,
    pub(super) http: OpenAiModule,
    found: RwLock<Option<Arc<Found>>>,
    last: tokio::sync::Mutex<Option<Known>>,
    numbers: Mutex<BTreeMap<&'static str, Kept>>,
}

#[derive(Debug)]
struct Known {
    answer: Result<Health, Error>,
    at: Instant,
}

/// A number over the lives of an engine: one that starts again counts from zero.
#[derive(Debug, Clone, Copy)]
struct Kept {
    last: Number,
    earlier: f64,
}

impl<E: Engine> Endpoint<E> {
    pub(super) fn new(engine: E, http: OpenAiModule) -> Self {
        Self {
            engine,
            http,
            found: RwLock::default(),
            last: tokio::sync::Mutex::default(),
            numbers: Mutex::default(),
        }
    }

    pub(super) fn found(&self) -> Option<Arc<Found>> {
        self.found.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn discover(&self) -> Result<Arc<Found>, Error> {
        let found = self.engine.discover(&self.http).await;
        let found = Arc::new(found.map_err(|error| self.engine.explain(error))?);
        *self.found.write().unwrap_or_else(PoisonError::into_inner) = Some(found.clone());
        Ok(found)
    }

    /// How it is now, whatever was known; a look that finds another server than before finds out what it serves.
    async fn look(&self) -> Result<Health, Error> {
        let found = match self.found() {
            Some(found) => found,
            None => self.discover().await?,
        };
        let seen = self.engine.look(&self.http, &found).await;
        let seen = seen.map_err(|error| self.engine.explain(error))?;
        self.keep(&seen.numbers);
        if seen.identity.is_some_and(|identity| identity != found.identity) {
            self.discover().await?;
        }
        Ok(seen.health)
    }

    fn keep(&self, numbers: &[Number]) {
        let mut kept = self.numbers.lock().unwrap_or_else(PoisonError::into_inner);
        for number in numbers {
            let kept = kept.entry(number.name).or_insert(Kept {
                last: *number,
                earlier: 0.0,
            });
            if number.grows && number.value < kept.last.value {
                kept.earlier += kept.last.value;
            }
            kept.last = *number;
        }
    }

    /// What is unlike a refusal of one request: a model that is still loaded.
    fn is_loading(error: &Error) -> bool {
        error.code() == LOADING
    }
}

/// The code of requests to an engine that still loads its model.
pub(super) const LOADING: &str = "model_loading";

#[async_trait]
impl<E: Engine> InferenceModule for Endpoint<E> {
    async fn initialize(&self) -> Result<(), Error> {
        self.discover().await?;
        Ok(())
    }

    async fn health_check(&self) -> Result<Health, Error> {
        let mut last = self.last.lock().await;
        if let Some(known) = &*last
            && known.at.elapsed() < FRESH
        {
            return known.answer.clone();
        }
        let answer = match self.look().await {
            Err(error) if Self::is_loading(&error) => Ok(Health::unhealthy(error.message().to_owned())),
            answer => answer,
        };
        let before = last.take().and_then(|known| known.answer.ok());
        let answer = answer.map(|health| match before {
            Some(before) if before.status() == health.status() => health.since(before.since_instant()),
            _ => health,
        });
        *last = Some(Known {
            answer: answer.clone(),
            at: Instant::now(),
        });
        answer
    }

    fn get_capabilities(&self) -> ModuleCapabilities {
        self.found()
            .map_or_else(|| self.engine.unseen(), |found| found.capabilities.clone())
    }

    /// Refuses what the engine does not claim: some answer with whatever they have loaded, whichever model they are asked for.
    /// Refuses what no caller may have it do, too.
    async fn run_inference(&self, input: Input) -> Result<Output, Error> {
        let Some(found) = self.found() else {
            return Err(Error::unavailable(
                "not_initialized",
                format!("{} was not reached yet, so nobody knows what it serves", E::NAME),
            )
            .with_hint("check that it runs and has loaded its model"));
        };
        found.capabilities.check_input(&input)?;
        screen::check(&input.wire_for(OpenAi::DIALECT)?, E::RESERVED)?;
        let answer = self.http.run_inference(input).await;
        answer.map_err(|error| self.engine.explain(error))
    }

    fn get_metrics(&self) -> MetricsData {
        let mut metrics = self.http.get_metrics();
        if let Some(found) = self.found() {
            metrics.gauge_of(
                "engine.info",
                &[("engine", E::NAME), ("version", &found.version)],
                1.0,
            );
            if let Some(slots) = found.slots {
                metrics.gauge("engine.slots", f64::from(slots));
            }
        }
        for (name, kept) in &*self.numbers.lock().unwrap_or_else(PoisonError::into_inner) {
            if kept.last.grows {
                metrics.counter_f64(*name, kept.earlier + kept.last.value);
            } else {
                metrics.gauge(*name, kept.last.value);
            }
        }
        metrics
    }

    async fn shutdown(&self) -> Result<(), Error> {
        self.http.shutdown().await
    }
}

/// The six methods of a module that is an [`Endpoint`] behind an `Arc`.
macro_rules! forward_to_endpoint {
    ($module:ty) => {
        #[async_trait]
        impl InferenceModule for $module {
            async fn initialize(&self) -> Result<(), Error> {
                self.0.initialize().await
            }
            async fn health_check(&self) -> Result<Health, Error> {
                self.0.health_check().await
            }
            fn get_capabilities(&self) -> ModuleCapabilities {
                self.0.get_capabilities()
            }
            async fn run_inference(&self, input: Input) -> Result<Output, Error> {
                self.0.run_inference(input).await
            }
            fn get_metrics(&self) -> MetricsData {
                self.0.get_metrics()
            }
            async fn shutdown(&self) -> Result<(), Error> {
                self.0.shutdown().await
            }
        }
    };
}
pub(super) use forward_to_endpoint;
