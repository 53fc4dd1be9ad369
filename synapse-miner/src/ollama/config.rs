//! An Ollama, as a program's configuration has it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use synapse_core::{
    Error,
    config::{Configuration, Period, Wrong},
};

use super::{KeepAlive, OllamaModule};

/// The Ollama that is served.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct OllamaConfig {
    /// Its address.
    #[schemars(extend("x-flag" = "ollama-url", "x-value" = "URL", "x-restart" = true))]
    pub url: String,
    /// The models that are served; all that it has where there is none here.
    #[schemars(extend("x-flag" = "ollama-model", "x-value" = "NAME", "x-restart" = true))]
    pub models: Vec<String>,
    /// The context that models are loaded with, in tokens; 0 for what Ollama finds right.
    #[schemars(extend("x-flag" = "ollama-context", "x-value" = "TOKENS", "x-restart" = true))]
    pub context_length: u32,
    /// How many requests it works on at once for a model, as its OLLAMA_NUM_PARALLEL says.
    #[schemars(range(min = 1, max = 1024), extend("x-flag" = "ollama-parallel", "x-restart" = true))]
    pub parallel: u32,
    /// How long a model stays in memory after its last request; 0 for Ollama's own 5 minutes.
    #[schemars(extend("x-flag" = "ollama-keep-alive", "x-most" = "30d", "x-restart" = true))]
    pub keep_alive: Period,
}

impl Default for OllamaConfig {
    fn default() -> Self {
        Self {
            url: "http://127.0.0.1:11434".to_owned(),
            models: Vec::new(),
            context_length: 0,
            parallel: 1,
            keep_alive: Period::seconds(0),
        }
    }
}

impl OllamaConfig {
    /// The module; the network is not touched before it is initialised.
    ///
    /// # Errors
    /// Where the address cannot be used.
    pub fn module(&self) -> Result<OllamaModule, Error> {
        let mut builder = OllamaModule::builder(&self.url).parallel(self.parallel);
        for model in &self.models {
            builder = builder.model(model);
        }
        if self.context_length > 0 {
            builder = builder.context_length(self.context_length);
        }
        let keep_alive = self.keep_alive.get();
        if !keep_alive.is_zero() {
            builder = builder.keep_alive(KeepAlive::For(keep_alive));
        }
        builder.build()
    }
}

impl Configuration for OllamaConfig {
    fn check(&self, wrong: &mut Wrong) {
        if let Err(error) = synapse_core::Endpoint::http(&self.url) {
            wrong.add("url", error.to_string());
        }
    }
}
