use std::sync::Arc;

use synapse_core::{ModelInfo, ModuleCapabilities, ResourceSpec, Task, Tokenizer as _};
use tokio::time::Instant;

use super::builder::{Setup, Source};
use crate::engine::Engine;
use crate::error::LlamaError;
use crate::template::ChatTemplate;
use crate::tokenizer::LlamaTokenizer;
use crate::weights::LlamaWeights;

/// The most alternatives with log-probabilities that come with a token.
const TOP_LOGPROBS: u8 = 20;

/// A module's model, once there is one.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) weights: LlamaWeights,
    pub(super) engine: Engine,
    pub(super) tokenizer: LlamaTokenizer,
    /// Why there is none, where there is none: completions work all the same.
    pub(super) template: Result<ChatTemplate, LlamaError>,
    pub(super) capabilities: ModuleCapabilities,
    pub(super) since: Instant,
}

impl Loaded {
    /// Loads what isn't loaded yet, and starts an engine. Blocks.
    pub(super) fn new(setup: &Setup, weights: Option<LlamaWeights>) -> Result<Self, LlamaError> {
        let weights = match (weights, &setup.source) {
            (Some(weights), _) => weights,
            (None, Source::Weights(weights)) => weights.clone(),
            (None, Source::File(path)) => {
                let progress = setup.progress.as_ref().map(Arc::clone);
                LlamaWeights::load_with_progress(path, move |fraction| {
                    if let Some(progress) = &progress {
                        progress(fraction);
                    }
                })?
            }
        };
        let engine = Engine::start(&weights, &setup.engine)?;
        let tokenizer = LlamaTokenizer::new(weights.clone());
        let template = ChatTemplate::of(&weights);
        let model = ModelInfo::new(&*setup.model_id)
            .with_digest(weights.digest()?)
            .with_context_length(engine.context_length())
            .with_tokenizer(tokenizer.name());
        let mut capabilities = capabilities(model, template.is_ok());
        capabilities.concurrency = u32::try_from(engine.parallel()).ok();
        capabilities.resources = resources(&weights, &engine);
        Ok(Self {
            weights,
            engine,
            tokenizer,
            template,
            capabilities,
            since: Instant::now(),
        })
    }
}

/// What the module will be able to do once its model is loaded, as far as that is known.
pub(super) fn capabilities_before_loading(model: ModelInfo) -> ModuleCapabilities {
    capabilities(model, true)
}

fn capabilities(model: ModelInfo, chat: bool) -> ModuleCapabilities {
    let named = ModuleCapabilities::new("llama")
        .with_streaming()
        .with_model(model);
    let named = if chat { named.with_task(Task::CHAT) } else { named };
    let mut capabilities = named.with_task(Task::TEXT_COMPLETION).with_task(Task::EMBEDDINGS);
    capabilities.top_logprobs = TOP_LOGPROBS;
    capabilities.token_ids = true;
    capabilities.seeds = true;
    capabilities
}

fn resources(weights: &LlamaWeights, engine: &Engine) -> ResourceSpec {
    let mut resources = ResourceSpec::default();
    resources.cpu_cores = u16::try_from(engine.threads()).map_or(f32::from(u16::MAX), f32::from);
    resources.memory_bytes = weights.bytes().saturating_add(engine.cache_bytes());
    resources.disk_bytes = weights.gguf().length();
    resources
}

/// A count as a gauge's value.
#[expect(clippy::cast_precision_loss, reason = "nobody has 2^52 requests at once")]
pub(super) fn gauge(count: usize) -> f64 {
    count as f64
}
