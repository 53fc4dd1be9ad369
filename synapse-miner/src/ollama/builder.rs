//! How an Ollama is served.

use std::time::Duration;

use synapse_core::Error;
use synapse_http::{Ollama, OpenAiModule, client};

use super::{OllamaModule, models::KeepAlive, transport::Transport};

/// How an [`OllamaModule`] serves its Ollama. The defaults are Ollama's own.
#[derive(Debug, Clone)]
#[must_use]
pub struct Builder {
    url: String,
    settings: Settings,
    engine: client::Builder,
}

/// What [`Builder`] sets, as requests read it.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub(super) models: Vec<String>,
    pub(super) context_length: Option<u32>,
    pub(super) parallel: u32,
    pub(super) keep_alive: Option<KeepAlive>,
    pub(super) drain: Duration,
    pub(super) unload: bool,
}

impl Builder {
    pub(super) fn new(url: String) -> Self {
        Self {
            engine: OpenAiModule::builder(url.clone()).speaks(Ollama::DIALECT),
            url,
            settings: Settings {
                models: Vec::new(),
                context_length: None,
                parallel: 1,
                keep_alive: None,
                drain: Duration::from_secs(30),
                unload: false,
            },
        }
    }

    /// One more model that is served, under this name. Unless one is named, all that Ollama has are, but for those whose work
    /// is done elsewhere.
    pub fn model(mut self, name: impl Into<String>) -> Self {
        self.settings.models.push(name.into());
        self
    }

    /// The context that every model is loaded with, in tokens: at most what it was trained on. Unless set, it is the
    /// model's own (`PARAMETER num_ctx`), or what Ollama finds right for the machine.
    ///
    /// Every request then goes to Ollama in its own format, since OpenAI's cannot say it.
    pub fn context_length(mut self, tokens: u32) -> Self {
        self.settings.context_length = Some(tokens);
        self
    }

    /// How many requests Ollama works on at once for a model, as its variable `OLLAMA_NUM_PARALLEL` says: it tells nobody
    /// else. 1 unless set, as of Ollama.
    pub fn parallel(mut self, requests: u32) -> Self {
        self.settings.parallel = requests.max(1);
        self
    }

    /// How long a model stays in memory after its last request, whatever callers say. Ollama's own 5 minutes unless set.
    pub fn keep_alive(mut self, keep_alive: KeepAlive) -> Self {
        self.settings.keep_alive = Some(keep_alive);
        self
    }

    /// How long [`shutdown`](synapse_core::InferenceModule::shutdown) waits for replies that are under way. 30 s unless set.
    pub fn drain(mut self, limit: Duration) -> Self {
        self.settings.drain = limit;
        self
    }

    /// Whether shutting down takes the models out of memory. No unless set: whoever is started next finds them there.
    pub fn unload_on_shutdown(mut self, unload: bool) -> Self {
        self.settings.unload = unload;
        self
    }

    /// Other limits of the connections that requests travel on.
    pub fn connections(mut self, change: impl FnOnce(client::Builder) -> client::Builder) -> Self {
        self.engine = change(self.engine);
        self
    }

    /// The module; the network is not touched before [`initialize`](synapse_core::InferenceModule::initialize).
    ///
    /// # Errors
    /// Where the address cannot be used.
    pub fn build(self) -> Result<OllamaModule, Error> {
        let transport = Transport::new(&self.url)?;
        Ok(OllamaModule::new(transport, self.engine.build()?, self.settings))
    }
}
