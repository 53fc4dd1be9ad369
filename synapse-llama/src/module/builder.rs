use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use synapse_core::{Error, InferenceModule};

use super::LlamaModule;
use crate::engine::EngineConfig;
use crate::weights::LlamaWeights;

/// Where the weights come from.
#[derive(Clone, Debug)]
pub(super) enum Source {
    File(PathBuf),
    Weights(LlamaWeights),
}

type Progress = Arc<dyn Fn(f32) + Send + Sync>;

/// What a module is made of.
pub(super) struct Setup {
    pub(super) source: Source,
    pub(super) model_id: String,
    pub(super) engine: EngineConfig,
    pub(super) progress: Option<Progress>,
}

/// Settings of a [`LlamaModule`], each with a default.
#[must_use = "a builder does nothing until `build` or `load`"]
pub struct LlamaModuleBuilder(Setup);

impl LlamaModule {
    /// A module over a GGUF file.
    pub fn builder(path: impl AsRef<Path>) -> LlamaModuleBuilder {
        let path = path.as_ref();
        LlamaModuleBuilder::new(path, Source::File(path.to_owned()))
    }

    /// A module over weights that are loaded already: several share one copy.
    pub fn over(weights: &LlamaWeights) -> LlamaModuleBuilder {
        LlamaModuleBuilder::new(weights.path(), Source::Weights(weights.clone()))
    }
}

impl LlamaModuleBuilder {
    fn new(path: &Path, source: Source) -> Self {
        let model_id = path
            .file_stem()
            .map_or_else(|| "model".to_owned(), |stem| stem.to_string_lossy().into_owned());
        Self(Setup {
            source,
            model_id,
            engine: EngineConfig::default(),
            progress: None,
        })
    }

    /// The name that requests use. Default: the file's name without `.gguf`.
    pub fn model_id(mut self, model_id: impl Into<String>) -> Self {
        self.0.model_id = model_id.into();
        self
    }

    /// How many requests are worked on at once. Default 4.
    pub fn parallel(mut self, requests: usize) -> Self {
        self.0.engine.parallel = requests;
        self
    }

    /// Tokens that prompt and reply of one request may have together. Default: the model's own, at most 8192. Memory for
    /// all of them is set aside at once, for each of the parallel requests.
    pub fn context_length(mut self, tokens: u32) -> Self {
        self.0.engine.context_length = Some(tokens);
        self
    }

    /// Tokens in one decode step. Default 256; see [`EngineConfig::batch`].
    pub fn batch(mut self, tokens: u32) -> Self {
        self.0.engine.batch = tokens;
        self
    }

    /// Threads that compute. Default: one for each core.
    pub fn threads(mut self, threads: usize) -> Self {
        self.0.engine.threads = Some(threads);
        self
    }

    /// How many requests wait when all sequences are busy; one more is refused. Default 64.
    pub fn queue(mut self, requests: usize) -> Self {
        self.0.engine.queue = requests;
        self
    }

    /// Is told how far loading the weights is, from 0.0 to 1.0, on the thread that loads.
    pub fn on_progress(mut self, progress: impl Fn(f32) + Send + Sync + 'static) -> Self {
        self.0.progress = Some(Arc::new(progress));
        self
    }

    /// A module that loads nothing until it is [initialised](InferenceModule::initialize).
    pub fn build(self) -> LlamaModule {
        LlamaModule::new(self.0)
    }

    /// A module that is ready.
    ///
    /// # Errors
    /// `model_file_unusable`, `model_load_failed`, `context_failed` or `invalid_parameter`, naming the file or the setting.
    pub async fn load(self) -> Result<LlamaModule, Error> {
        let module = self.build();
        module.initialize().await?;
        Ok(module)
    }
}

impl fmt::Debug for LlamaModuleBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LlamaModuleBuilder")
            .field("source", &self.0.source)
            .field("model_id", &self.0.model_id)
            .field("engine", &self.0.engine)
            .finish_non_exhaustive()
    }
}
