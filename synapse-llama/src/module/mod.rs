//! The engine as an inference module.

mod builder;
mod loaded;
mod prepare;
mod refusals;
mod reply;

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use synapse_core::{
    Body, Error, Health, InferenceModule, Input, MetricsData, ModelInfo, ModuleCapabilities, Output,
    async_trait,
};

pub use builder::LlamaModuleBuilder;
use builder::Setup;
use loaded::Loaded;
use prepare::Work;
use reply::Reply;

use crate::engine::{EngineStats, EngineStatus};
use crate::error::LlamaError;
use crate::weights::LlamaWeights;

/// A GGUF model served in this process: chat, text completions and embeddings.
///
/// Loading, rendering and tokenising run on tokio's blocking threads, so the module must be used inside a tokio runtime.
/// Dropping an output stops its work within one decode step. Dropping the module ends all of its work, and waits for the
/// step that is running: [`shutdown`](InferenceModule::shutdown) first does that waiting off the reactor.
///
/// What can't be done is refused by name: several replies (`n`), formats and grammars, pictures. Tools are shown to the
/// model where its template has a place for them; what it then writes comes back as text, not as tool calls.
///
/// ```no_run
/// # async fn example() -> Result<(), synapse_core::Error> {
/// use synapse_core::{InferenceModule, Input, Message};
/// use synapse_llama::LlamaModule;
///
/// let module = LlamaModule::builder("SmolLM2-135M-Instruct.Q4_1.gguf").model_id("smollm2").parallel(4).load().await?;
/// let answer = module.run_inference(Input::chat("smollm2", [Message::user("Name three primary colours.")])).await?;
/// # Ok(()) }
/// ```
pub struct LlamaModule {
    setup: Arc<Setup>,
    loaded: RwLock<Option<Arc<Loaded>>>,
    /// Held while a model is loaded: a second caller waits for the first rather than load it again.
    loading: tokio::sync::Mutex<()>,
}

impl LlamaModule {
    fn new(setup: Setup) -> Self {
        Self {
            setup: Arc::new(setup),
            loaded: RwLock::new(None),
            loading: tokio::sync::Mutex::new(()),
        }
    }

    /// The name that requests use.
    pub fn model_id(&self) -> &str {
        &self.setup.model_id
    }

    /// The weights, once they are loaded: what a tokenizer, a chat template or another module can be made of.
    pub fn weights(&self) -> Option<LlamaWeights> {
        self.loaded().map(|loaded| loaded.weights.clone())
    }

    /// What the engine has done and is doing; zeroes before it is loaded.
    pub fn stats(&self) -> EngineStats {
        self.loaded()
            .map(|loaded| loaded.engine.stats())
            .unwrap_or_default()
    }

    fn loaded(&self) -> Option<Arc<Loaded>> {
        // A panic elsewhere leaves the whole value in place.
        self.loaded.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_loaded(&self, loaded: Option<Arc<Loaded>>) -> Option<Arc<Loaded>> {
        std::mem::replace(
            &mut *self.loaded.write().unwrap_or_else(PoisonError::into_inner),
            loaded,
        )
    }

    fn ready(&self) -> Result<Arc<Loaded>, Error> {
        self.loaded().ok_or_else(|| {
            Error::unavailable(
                "not_initialized",
                format!("the model {} is not loaded", self.setup.model_id),
            )
            .with_hint("call initialize first")
        })
    }
}

#[async_trait]
impl InferenceModule for LlamaModule {
    async fn initialize(&self) -> Result<(), Error> {
        let _one_at_a_time = self.loading.lock().await;
        let before = self.loaded();
        if before
            .as_ref()
            .is_some_and(|loaded| loaded.engine.status() == EngineStatus::Running)
        {
            return Ok(());
        }
        let setup = Arc::clone(&self.setup);
        let weights = before.map(|loaded| loaded.weights.clone());
        let loaded = off_the_reactor(move || Loaded::new(&setup, weights)).await?;
        tracing::info!(model = self.setup.model_id, path = %loaded.weights.path().display(), "model loaded");
        self.set_loaded(Some(Arc::new(loaded)));
        Ok(())
    }

    async fn health_check(&self) -> Result<Health, Error> {
        let Some(loaded) = self.loaded() else {
            return Ok(Health::unhealthy("no model is loaded"));
        };
        Ok(match loaded.engine.status() {
            EngineStatus::Running if loaded.engine.is_full() => {
                Health::degraded("all sequences are busy and the queue is full")
            }
            EngineStatus::Running => Health::ready().since(loaded.since),
            EngineStatus::Stopped => Health::unhealthy("the engine was shut down"),
            EngineStatus::Failed(reason) => Health::unhealthy(reason),
        })
    }

    fn get_capabilities(&self) -> ModuleCapabilities {
        match self.loaded() {
            Some(loaded) => loaded.capabilities.clone(),
            None => loaded::capabilities_before_loading(ModelInfo::new(&*self.setup.model_id)),
        }
    }

    async fn run_inference(&self, input: Input) -> Result<Output, Error> {
        let loaded = self.ready()?;
        loaded.capabilities.check_input(&input)?;
        loaded.engine.check_room()?;
        let request = input.request()?.into_owned();
        let task = input.task().clone();
        let prepared = Arc::clone(&loaded);
        let work = off_the_reactor(move || prepare::prepare(&prepared, &task, request)).await?;
        let mut body = match work {
            Work::Generate(request) => Body::new(Reply::new(loaded.engine.generate(request)?)),
            Work::Embed(texts) => reply::embeddings(&loaded.engine, texts).await?,
        };
        body.peek().await?;
        Ok(Output::new(body))
    }

    fn get_metrics(&self) -> MetricsData {
        let stats = self.stats();
        let mut metrics = MetricsData::default();
        for (name, value) in [
            ("llama.decode_steps", stats.decode_steps),
            ("llama.tokens.prompt", stats.prompt_tokens),
            ("llama.tokens.generated", stats.generated_tokens),
            ("llama.tokens.embedded", stats.embedded_tokens),
            ("llama.requests.started", stats.started),
            ("llama.requests.finished", stats.finished),
            ("llama.requests.cancelled", stats.cancelled),
            ("llama.requests.failed", stats.failed),
            ("llama.requests.refused", stats.refused),
        ] {
            metrics.counter(name, value);
        }
        metrics.gauge("llama.requests.active", loaded::gauge(stats.active));
        metrics.gauge("llama.requests.queued", loaded::gauge(stats.queued));
        metrics
    }

    async fn shutdown(&self) -> Result<(), Error> {
        // The value stays, so that health can say that it was shut down.
        let Some(loaded) = self.loaded() else {
            return Ok(());
        };
        off_the_reactor(move || {
            loaded.engine.stop();
            Ok(())
        })
        .await
    }
}

impl Drop for LlamaModule {
    fn drop(&mut self) {
        // Replies that are still read hold no engine, so this stops them.
        drop(self.set_loaded(None));
    }
}

impl fmt::Debug for LlamaModule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LlamaModule")
            .field("model_id", &self.setup.model_id)
            .field("loaded", &self.loaded().is_some())
            .finish_non_exhaustive()
    }
}

/// Runs what blocks on one of tokio's threads for that.
async fn off_the_reactor<T, F>(work: F) -> Result<T, Error>
where
    T: Send + 'static,
    F: FnOnce() -> Result<T, LlamaError> + Send + 'static,
{
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => Ok(result?),
        Err(join) => match join.try_into_panic() {
            Ok(panic) => Err(Error::from_panic(&*panic)),
            Err(_cancelled) => Err(Error::unavailable(
                "runtime_shut_down",
                "the runtime that the module runs on is ending",
            )),
        },
    }
}
