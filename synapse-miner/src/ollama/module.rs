//! The module.

use std::{fmt, sync::Arc};

use semver::Version;
use synapse_core::{
    Capacity, Error, Health, InferenceModule, Input, MetricsData, ModuleCapabilities, Output, async_trait,
};
use synapse_http::{Ollama, OpenAiModule};
use tokio::time::Instant;

use super::{
    Builder, KeepAlive, Models,
    builder::Settings,
    catalog::{self, Catalog, FRESH, Known, Served},
    error,
    flight::Flights,
    route,
    route::Route,
    transport::Transport,
    version,
};

/// An Ollama as a module: chat, generation and embeddings in OpenAI's format and its own.
///
/// What it serves is asked when it is initialised, and again where a health check hears that it changed. Dropping an output
/// closes its connection, upon which Ollama stops generating. A clone shares everything.
///
/// ```no_run
/// use synapse_miner::ollama::{KeepAlive, OllamaModule};
///
/// # #[allow(dead_code)]
/// # async fn serve() -> Result<(), synapse_core::Error> {
/// let everything = OllamaModule::connect("http://127.0.0.1:11434").await?;
/// let one = OllamaModule::builder("http://127.0.0.1:11434")
///     .model("smollm2")
///     .context_length(8192)
///     .parallel(4)
///     .keep_alive(KeepAlive::Forever)
///     .build()?;
/// # drop((everything, one));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct OllamaModule(Arc<Shared>);

struct Shared {
    models: Models,
    transport: Transport,
    engine: OpenAiModule,
    settings: Settings,
    known: Known,
    flights: Flights,
}

impl OllamaModule {
    /// The Ollama at `url`, after a look at its version and its models.
    ///
    /// # Errors
    /// As [`initialize`](InferenceModule::initialize); where the address is none.
    pub async fn connect(url: &str) -> Result<Self, Error> {
        let module = Self::builder(url).build()?;
        module.initialize().await?;
        Ok(module)
    }

    /// The same with other than the usual settings.
    pub fn builder(url: impl Into<String>) -> Builder {
        Builder::new(url.into())
    }

    pub(super) fn new(transport: Transport, engine: OpenAiModule, settings: Settings) -> Self {
        Self(Arc::new(Shared {
            models: Models::at(transport.clone()),
            transport,
            engine,
            settings,
            known: Known::default(),
            flights: Flights::new(),
        }))
    }

    /// Its models, to be managed.
    #[must_use]
    pub fn models(&self) -> &Models {
        &self.0.models
    }

    /// Brings a model into memory with the context that requests ask for, until it is unloaded.
    pub(crate) async fn load_to_stay(&self, name: &str) -> Result<(), Error> {
        let Shared { models, settings, .. } = &*self.0;
        let context = self.0.served(name)?.info.context_length;
        let context = context.filter(|_| settings.context_length.is_some());
        models.load_with(name, Some(KeepAlive::Forever), context).await?;
        let loaded = models.loaded().await?;
        self.0.known.change(|catalog| catalog.update(loaded));
        Ok(())
    }

    /// Ollama's version, once it was asked; `None` of a build that does not know its own.
    #[must_use]
    pub fn version(&self) -> Option<Version> {
        self.0.known.read(|catalog| catalog.version.clone()).flatten()
    }
}

impl Shared {
    async fn look(&self) -> Result<Catalog, Error> {
        let version = version::check(&self.transport).await?;
        let default_context = self.known.read(Catalog::default_context).flatten();
        catalog::look(&self.models, &self.settings, version, default_context).await
    }

    /// The model that is asked.
    fn served(&self, name: &str) -> Result<Served, Error> {
        match self.known.read(|catalog| catalog.model(name).cloned()) {
            Some(Some(model)) => Ok(model),
            Some(None) => Err(Error::model_not_found(name)),
            None => Err(Error::unavailable(
                "not_initialised",
                "Ollama was not asked yet what it serves",
            )),
        }
    }

    async fn answer(&self, input: Input) -> Result<Output, Error> {
        let model = self.served(input.model()?)?;
        let (input, translated) = match route::of(&input, &model, &self.settings)? {
            Route::OpenAi => (input, false),
            Route::Native(wire) => (carried(&input, wire), false),
            Route::Translated(wire) => (carried(&input, wire), true),
        };
        let output = self.engine.run_inference(input).await;
        let output = output.map_err(|error| error::of_inference(error, &model.info.id))?;
        Ok(match translated {
            true => Ollama::into_deltas(output),
            false => output,
        })
    }

    /// How Ollama is, as it says now.
    async fn ask_health(&self) -> Result<Health, Error> {
        let (listed, loaded) = (self.models.list().await?, self.models.loaded().await?);
        if self.known.read(|catalog| catalog.differs(&listed)) != Some(false) {
            self.known.set(self.look().await?);
        } else {
            self.known.change(|catalog| catalog.update(loaded));
        }
        Ok(self.health())
    }

    fn health(&self) -> Health {
        let judge = |catalog: &Catalog| {
            let missing = catalog
                .missing
                .iter()
                .map(|name| format!("Ollama has no model {name}"));
            let broken = catalog.broken.iter().map(|(_, error)| error.message().to_owned());
            let wrong: Vec<String> = missing.chain(broken).collect();
            match (catalog.models.is_empty(), wrong.is_empty()) {
                (true, true) => Health::unhealthy("Ollama has no model"),
                (true, false) => Health::unhealthy(wrong.join("; ")),
                (false, false) => Health::degraded(wrong.join("; ")),
                (false, true) => Health::ready(),
            }
        };
        let health = self.known.read(judge);
        let health = health.unwrap_or_else(|| Health::unhealthy("Ollama was not asked yet"));
        let (slots, busy) = (self.settings.parallel, self.flights.count());
        health.with_capacity(Capacity::new(slots, busy.min(slots)).with_waiting(busy.saturating_sub(slots)))
    }
}

#[expect(clippy::cast_precision_loss, reason = "no memory has 2^53 bytes")]
fn bytes(count: u64) -> f64 {
    count as f64
}

/// What `input` says, in other bytes.
fn carried(input: &Input, wire: synapse_core::Wire) -> Input {
    let mut carried = Input::from_wire(input.task().clone(), wire);
    *carried.extensions_mut() = input.extensions().clone();
    carried
}

#[async_trait]
impl InferenceModule for OllamaModule {
    /// # Errors
    /// `ollama_unreachable`, `not_ollama`, `ollama_too_old`; `model_not_found` where it has none of the models that are to be
    /// served.
    async fn initialize(&self) -> Result<(), Error> {
        let shared = &*self.0;
        let _open = shared.flights.begin()?;
        let mut catalog = shared.look().await?;
        catalog.learn_contexts(&shared.models, &shared.settings).await?;
        if catalog.models.is_empty() {
            let broken = catalog.broken.first().map(|(_, error)| error.clone());
            if let Some(error) = broken.or_else(|| catalog.missing.first().map(|name| error::missing(name))) {
                return Err(error);
            }
        }
        shared.engine.initialize().await?;
        shared.known.set(catalog);
        Ok(())
    }

    async fn health_check(&self) -> Result<Health, Error> {
        let shared = &*self.0;
        if shared.flights.is_closed() {
            return Ok(Health::unhealthy("the module was shut down"));
        }
        let mut asked = shared.known.asked.lock().await;
        match &*asked {
            Some((at, None)) if at.elapsed() < FRESH => return Ok(shared.health()),
            // Each of those who waited meanwhile would else wait as long again.
            Some((at, Some(error))) if at.elapsed() < FRESH => return Err(error.clone()),
            _ => {}
        }
        let health = shared.ask_health().await;
        *asked = Some((Instant::now(), health.as_ref().err().cloned()));
        health
    }

    fn get_capabilities(&self) -> ModuleCapabilities {
        let known = self
            .0
            .known
            .read(|catalog| catalog.capabilities(&self.0.settings));
        known.unwrap_or_else(|| Catalog::default().capabilities(&self.0.settings))
    }

    async fn run_inference(&self, input: Input) -> Result<Output, Error> {
        let flight = self.0.flights.begin()?;
        let mut output = self.0.answer(input).await?;
        output.body.tap(flight);
        Ok(output)
    }

    fn get_metrics(&self) -> MetricsData {
        let mut metrics = self.0.engine.get_metrics();
        self.0.known.read(|catalog| {
            for model in &catalog.loaded {
                let label = [("model", model.name.as_str())];
                metrics.gauge_of("ollama.memory_bytes", &label, bytes(model.size));
                metrics.gauge_of("ollama.gpu_memory_bytes", &label, bytes(model.size_vram));
            }
        });
        metrics
    }

    async fn shutdown(&self) -> Result<(), Error> {
        let shared = &*self.0;
        let left = shared.flights.close(shared.settings.drain).await;
        if left > 0 {
            tracing::warn!(left, limit = ?shared.settings.drain, "Ollama is let go with replies under way");
        }
        shared.engine.shutdown().await?;
        if shared.settings.unload {
            let served: Vec<String> = shared
                .known
                .read(|catalog| catalog.models.iter().map(|model| model.info.id.clone()).collect())
                .unwrap_or_default();
            for model in served {
                shared.models.unload(&model).await?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for OllamaModule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OllamaModule")
            .field("base", &self.0.transport.base())
            .field("settings", &self.0.settings)
            .finish_non_exhaustive()
    }
}
