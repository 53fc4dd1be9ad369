//! What answers: one of three kinds of engines.

use std::{path::Path, time::Duration};

use custom_module::Shout;
use synapse_core::{Error, InferenceModule};
use synapse_http::OpenAiModule;

use crate::config::EngineConfig;

impl EngineConfig {
    /// The engine, which works on `parallel` requests at once.
    pub(crate) async fn start(&self, parallel: usize) -> Result<Box<dyn InferenceModule>, Error> {
        if let Some(model) = &self.llama {
            return self.load(model, parallel).await;
        }
        if let Some(url) = &self.upstream {
            let builder = match &self.upstream_key_env {
                Some(variable) => OpenAiModule::builder(url).api_key(secret(variable)?),
                None => OpenAiModule::builder(url),
            };
            return Ok(Box::new(builder.build()?));
        }
        let pause = Duration::from_millis(self.pause_ms);
        Ok(Box::new(Shout::new().slowly(self.times, pause)))
    }

    #[cfg(feature = "llama")]
    async fn load(&self, model: &Path, parallel: usize) -> Result<Box<dyn InferenceModule>, Error> {
        use synapse_llama::{LlamaModule, LlamaWeights};

        let path = model.to_owned();
        eprintln!("loading {}", path.display());
        let loaded = tokio::task::spawn_blocking(move || LlamaWeights::load(path)).await;
        let weights = loaded.map_err(|error| {
            Error::internal("loading_ended", "loading the model ended early").with_source(error)
        })??;
        let mut engine = LlamaModule::over(&weights)
            .parallel(parallel)
            .context_length(self.context.min(weights.trained_context_length()));
        if let Some(id) = &self.model_id {
            engine = engine.model_id(&**id);
        }
        if let Some(threads) = self.threads {
            engine = engine.threads(threads.max(1));
        }
        Ok(Box::new(engine.build()))
    }

    #[cfg(not(feature = "llama"))]
    async fn load(&self, model: &Path, _: usize) -> Result<Box<dyn InferenceModule>, Error> {
        Err(Error::unsupported(
            "no_llama",
            format!(
                "{} cannot be served: this program was built without llama.cpp",
                model.display()
            ),
        )
        .with_hint("build it with its usual features"))
    }
}

fn secret(variable: &str) -> Result<String, Error> {
    std::env::var(variable).map_err(|error| {
        // Not the source: it may hold the value.
        let why = match error {
            std::env::VarError::NotPresent => "is not set",
            std::env::VarError::NotUnicode(_) => "is no UTF-8",
        };
        Error::invalid(
            "no_api_key",
            format!("the environment variable {variable:?} {why}"),
        )
    })
}
