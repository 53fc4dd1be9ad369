//! What answers: one of seven kinds of engines.

mod config;

use std::{path::Path, time::Duration};

use custom_module::Shout;
use synapse_core::{Error, InferenceModule, NodeId};
use synapse_http::{OpenAiModule, client};
use synapse_miner::{
    QueueLayer,
    config::ScaleConfig,
    inference::{LlamaServerModule, VllmModule},
    ollama::{self, KeepAlive, OllamaModule},
    scale::{ReplicaSet, Spawner},
    supervisor::{Devices, EngineReplicas, EngineSpec, Supervised},
};

pub(crate) use self::config::EngineConfig;

/// The context of a model that is loaded here, in tokens, unless it is said.
#[cfg(feature = "llama")]
const CONTEXT: u32 = 2048;

/// What an engine has around it.
pub(crate) struct Around<'a> {
    /// Requests that it works on at once.
    pub(crate) parallel: usize,
    /// Where what is started here keeps a note of itself.
    pub(crate) state: &'a Path,
    /// Whose it is.
    pub(crate) node: &'a NodeId,
    /// How many there are.
    pub(crate) scale: &'a ScaleConfig,
    /// By whose length that is told.
    pub(crate) queue: &'a QueueLayer,
}

impl Around<'_> {
    fn slots(&self) -> u32 {
        u32::try_from(self.parallel).unwrap_or(u32::MAX)
    }

    /// As many of these as there are to be, as one module.
    fn replicas(&self, spawner: impl Spawner) -> Box<dyn InferenceModule> {
        let replicas = ReplicaSet::new(spawner, self.scale.min)
            .scaled_by(self.scale.policy(), self.queue.clone())
            .on_event(|event| eprintln!("{event}"));
        Box::new(replicas)
    }
}

impl EngineConfig {
    /// The engine.
    pub(crate) async fn start(&self, around: &Around<'_>) -> Result<Box<dyn InferenceModule>, Error> {
        if let Some(url) = &self.ollama {
            return match &self.start {
                Some(program) => self.started_ollama(program, around),
                None => Ok(Box::new(self.of_ollama(url, around.slots()).build()?)),
            };
        }
        if let Some(url) = &self.llama_server {
            return match &self.start {
                Some(program) => self.started_llama_server(program, around),
                None => Ok(Box::new(LlamaServerModule::local(self.reach(url)?)?)),
            };
        }
        if let Some(url) = &self.vllm {
            return Ok(Box::new(VllmModule::new(self.reach(url)?)?.slots(around.slots())));
        }
        if let Some(url) = &self.upstream {
            return Ok(Box::new(self.reach(url)?.build()?));
        }
        #[cfg(target_os = "linux")]
        if self.is_contained() {
            return self.contained(around).await;
        }
        if let Some(model) = &self.llama {
            return self.load(model, around.parallel).await;
        }
        let pause = Duration::from_millis(self.pause_ms.unwrap_or(0));
        Ok(Box::new(Shout::new().slowly(self.times.unwrap_or(1), pause)))
    }

    /// Images that are run here. What an earlier life of this node left is removed first.
    #[cfg(target_os = "linux")]
    async fn contained(&self, around: &Around<'_>) -> Result<Box<dyn InferenceModule>, Error> {
        use synapse_container::{Owner, Runtime};
        use synapse_miner::container::ContainerSpawner;

        let runtime = Runtime::connect(Owner::new(around.node.as_str().to_lowercase())?).await?;
        let left = runtime.reconcile().await?;
        if left.removed > 0 {
            eprintln!("{} containers of an earlier run were removed", left.removed);
        }
        Ok(around.replicas(ContainerSpawner::new(self.container.module(runtime))))
    }

    /// The way to an endpoint that may want a key.
    fn reach(&self, url: &str) -> Result<client::Builder, Error> {
        let builder = OpenAiModule::builder(url);
        match &self.upstream_key_env {
            Some(variable) => Ok(builder.api_key(secret(variable)?)),
            None => Ok(builder),
        }
    }

    fn of_ollama(&self, url: &str, slots: u32) -> ollama::Builder {
        let mut builder = OllamaModule::builder(url).parallel(slots);
        for model in &self.models {
            builder = builder.model(model);
        }
        if let Some(tokens) = self.context {
            builder = builder.context_length(tokens);
        }
        if let Some(time) = self.keep_alive {
            builder = builder.keep_alive(KeepAlive::For(time.get()));
        }
        builder
    }

    fn started_ollama(&self, program: &Path, around: &Around<'_>) -> Result<Box<dyn InferenceModule>, Error> {
        let spec = self.started(EngineSpec::ollama(program), around);
        let (this, slots) = (self.clone(), around.slots());
        let engine = Supervised::start(spec, move |url| {
            let builder = this.of_ollama(&url, slots);
            async move { builder.build() }
        })?;
        Ok(Box::new(engine))
    }

    fn started_llama_server(
        &self,
        program: &Path,
        around: &Around<'_>,
    ) -> Result<Box<dyn InferenceModule>, Error> {
        let model = self.models.first().map(String::as_str).unwrap_or_default();
        let mut spec = self.started(EngineSpec::llama_server(program, model), around);
        // A server names its model by the file's whole path, unless it is told: that would tell everybody of this machine.
        let of_file = || Path::new(model).file_stem()?.to_str();
        if let Some(name) = self.model_id.as_deref().or_else(of_file) {
            spec = spec.args(["--alias", name]);
        }
        if let Some(tokens) = self.context {
            spec = spec.context(tokens);
        }
        let module = |url| async move { LlamaServerModule::local(OpenAiModule::builder(url)) };
        Ok(match around.scale.max {
            1 => Box::new(Supervised::start(spec, module)?),
            _ => around.replicas(EngineReplicas::new(spec, module)),
        })
    }

    fn started(&self, spec: EngineSpec, around: &Around<'_>) -> EngineSpec {
        let mut spec = spec
            .slots(around.slots())
            .state_dir(around.state)
            // The log has the others.
            .on_event(|event| {
                if !event.is_alert() {
                    eprintln!("{event}");
                }
            });
        if let Some(port) = self.port() {
            spec = spec.port(port);
        }
        if let Some(threads) = self.threads {
            spec = spec.threads(threads);
        }
        if !self.gpus.is_empty() {
            spec = spec.devices(Devices::cuda(self.gpus.iter().copied()));
        }
        spec
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
        let mut engine = LlamaModule::over(&weights).parallel(parallel).context_length(
            self.context
                .unwrap_or(CONTEXT)
                .min(weights.trained_context_length()),
        );
        if let Some(id) = &self.model_id {
            engine = engine.model_id(&**id);
        }
        if let Some(threads) = self.threads {
            engine = engine.threads(usize::try_from(threads).unwrap_or(usize::MAX));
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
