use std::thread::available_parallelism;

use crate::error::LlamaError;
use crate::weights::LlamaWeights;

/// The context length where none is asked for: the model's own, up to this many tokens.
const DEFAULT_CONTEXT_LENGTH: u32 = 8192;
/// llama.cpp rounds each sequence's share of the cache up to this many tokens.
const CELL_BLOCK: u32 = 256;
/// llama.cpp's `LLAMA_MAX_SEQ`.
const MAX_PARALLEL: usize = 256;

/// How large an [`Engine`](super::Engine) is: sequences, context, batch, threads, queue.
///
/// Memory grows with `parallel × context_length`: each sequence has a cache of its own, set aside at the start, so that
/// one long conversation never takes room from another.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EngineConfig {
    /// How many requests are worked on at once. Default 4, at most 256.
    pub parallel: usize,
    /// Tokens that prompt and reply of one request may have together. Default: the model's own, at most 8192.
    pub context_length: Option<u32>,
    /// Tokens in one decode step. Default 256. Smaller lets other replies stutter less while a long prompt is read;
    /// larger reads prompts faster.
    pub batch: u32,
    /// Threads that compute. Default: as many as the machine has cores for this process.
    pub threads: Option<usize>,
    /// How many requests wait when all sequences are busy; one more is refused. Default 64.
    pub queue: usize,
}

impl EngineConfig {
    /// So many requests at once.
    #[must_use]
    pub fn with_parallel(self, requests: usize) -> Self {
        Self {
            parallel: requests,
            ..self
        }
    }

    /// So many tokens for prompt and reply of one request together.
    #[must_use]
    pub fn with_context_length(self, tokens: u32) -> Self {
        Self {
            context_length: Some(tokens),
            ..self
        }
    }

    /// So many tokens in one decode step.
    #[must_use]
    pub fn with_batch(self, tokens: u32) -> Self {
        Self {
            batch: tokens,
            ..self
        }
    }

    /// So many threads that compute.
    #[must_use]
    pub fn with_threads(self, threads: usize) -> Self {
        Self {
            threads: Some(threads),
            ..self
        }
    }

    /// So many requests that wait when all sequences are busy.
    #[must_use]
    pub fn with_queue(self, requests: usize) -> Self {
        Self {
            queue: requests,
            ..self
        }
    }
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            parallel: 4,
            context_length: None,
            batch: 256,
            threads: None,
            queue: 64,
        }
    }
}

/// The configuration with every default filled in and every number checked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    pub(super) parallel: usize,
    pub(super) context_length: u32,
    pub(super) batch: u32,
    pub(super) threads: i32,
    pub(super) queue: usize,
}

impl Sizes {
    pub(super) fn resolve(config: &EngineConfig, weights: &LlamaWeights) -> Result<Self, LlamaError> {
        let trained = weights.trained_context_length();
        let context_length = config
            .context_length
            .unwrap_or_else(|| trained.clamp(1, DEFAULT_CONTEXT_LENGTH));
        if context_length < 2 || context_length > trained {
            let reason = format!("is {context_length}; this model takes 2 to {trained} tokens");
            return Err(LlamaError::invalid("context_length", reason));
        }
        if config.parallel == 0 || config.parallel > MAX_PARALLEL {
            return Err(LlamaError::invalid(
                "parallel",
                format!("is {}; it must be 1 to {MAX_PARALLEL}", config.parallel),
            ));
        }
        if (config.batch as usize) < config.parallel || config.batch > 1 << 16 {
            let reason = format!(
                "is {}; it must be {} (parallel) to 65536 tokens",
                config.batch, config.parallel
            );
            return Err(LlamaError::invalid("batch", reason));
        }
        let threads = config
            .threads
            .unwrap_or_else(|| available_parallelism().map_or(1, usize::from));
        let threads = i32::try_from(threads)
            .ok()
            .filter(|threads| (1..=512).contains(threads));
        let threads = threads.ok_or_else(|| LlamaError::invalid("threads", "must be 1 to 512"))?;
        let sizes = Self {
            parallel: config.parallel,
            context_length,
            batch: config.batch,
            threads,
            queue: config.queue,
        };
        if sizes.cells(config.parallel).is_none() {
            return Err(LlamaError::invalid(
                "context_length",
                "times parallel is beyond what llama.cpp counts to",
            ));
        }
        Ok(sizes)
    }

    /// Cells of cache for `sequences` sequences.
    pub(super) fn cells(&self, sequences: usize) -> Option<u32> {
        let each = self.context_length.checked_next_multiple_of(CELL_BLOCK)?;
        u32::try_from(sequences)
            .ok()?
            .checked_mul(each)
            .filter(|&cells| i32::try_from(cells).is_ok())
    }

    /// The size of the generating context's cache in bytes, two bytes a number.
    pub(super) fn cache_bytes(&self, weights: &LlamaWeights) -> u64 {
        let of = |name: &str| {
            weights
                .gguf()
                .architecture_integer(name)
                .and_then(|number| u64::try_from(number).ok())
        };
        let heads = of("attention.head_count").filter(|&heads| heads > 0).unwrap_or(1);
        let head_width = of("embedding_length").unwrap_or(0) / heads;
        let widths = of("attention.key_length").unwrap_or(head_width)
            + of("attention.value_length").unwrap_or(head_width);
        let a_token =
            of("block_count").unwrap_or(0) * of("attention.head_count_kv").unwrap_or(heads) * widths * 2;
        a_token.saturating_mul(self.cells(self.parallel).unwrap_or(0).into())
    }
}
