//! What answers: one of three kinds of engines.

use std::{path::PathBuf, time::Duration};

use clap::Args;
use custom_module::Shout;
use synapse_core::{Error, InferenceModule};
use synapse_http::OpenAiModule;

/// The engine, one of them.
#[derive(Debug, Args)]
pub(crate) struct EngineArgs {
    #[command(flatten)]
    kind: Kind,
    /// With --llama: the name that requests use for the model; that of its file where this is left out.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["upstream", "custom"])]
    model_id: Option<String>,
    /// With --llama: the longest prompt and reply together, in tokens.
    #[arg(long, default_value_t = 2048, conflicts_with_all = ["upstream", "custom"])]
    context: u32,
    /// With --llama: threads; all of the machine's where this is left out.
    #[arg(long, conflicts_with_all = ["upstream", "custom"])]
    threads: Option<usize>,
    /// With --upstream: the environment variable with the key that the endpoint wants.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["llama", "custom"])]
    upstream_key_env: Option<String>,
    /// With --custom: how often it says the last message.
    #[arg(long, default_value_t = 1, conflicts_with_all = ["llama", "upstream"], value_parser = clap::value_parser!(u32).range(1..))]
    times: u32,
    /// With --custom: milliseconds before each word, as if it were a large model.
    #[arg(long, default_value_t = 0, conflicts_with_all = ["llama", "upstream"])]
    pause_ms: u64,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Kind {
    /// A language model, a GGUF file.
    #[arg(long, value_name = "MODEL.gguf")]
    llama: Option<PathBuf>,
    /// Any endpoint that speaks the OpenAI API, without /v1: `http://127.0.0.1:11434`.
    #[arg(long, value_name = "URL")]
    upstream: Option<String>,
    /// A module of one's own: the one of examples/custom_module, which answers with the last message, louder.
    #[arg(long)]
    custom: bool,
}

impl EngineArgs {
    /// The engine, which works on `parallel` requests at once.
    pub(crate) async fn start(&self, parallel: usize) -> Result<Box<dyn InferenceModule>, Error> {
        if let Some(model) = &self.kind.llama {
            return self.llama(model, parallel).await;
        }
        if let Some(url) = &self.kind.upstream {
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
    async fn llama(
        &self,
        model: &std::path::Path,
        parallel: usize,
    ) -> Result<Box<dyn InferenceModule>, Error> {
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
    async fn llama(&self, model: &std::path::Path, _: usize) -> Result<Box<dyn InferenceModule>, Error> {
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
