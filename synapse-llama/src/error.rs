use std::path::PathBuf;

use synapse_core::{Error, ErrorKind};

use crate::gguf::GgufError;

/// What can go wrong in loading a model, asking it, or rendering its prompt.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LlamaError {
    /// The file is no usable GGUF.
    #[error(transparent)]
    Gguf(#[from] std::sync::Arc<GgufError>),
    /// The file passed our checks and llama.cpp refused it.
    #[error("llama.cpp can't load {}; its log (tracing target llama-cpp-2) says why: most often an architecture newer than this build, or too little memory", path.display())]
    Load {
        /// The model file.
        path: PathBuf,
    },
    /// There is not enough memory for the context, or the worker thread did not start.
    #[error(
        "can't set up a context of {parallel} sequences of {context_length} tokens: {reason}; ask for fewer or shorter sequences, or give it more memory"
    )]
    Context {
        /// Sequences at once.
        parallel: usize,
        /// Tokens in each.
        context_length: u32,
        /// What failed.
        reason: String,
    },
    /// All sequences are busy and the queue is full.
    #[error(
        "all {parallel} sequences are busy and {queue} requests wait already; try again later or elsewhere"
    )]
    Overloaded {
        /// Sequences that run at once.
        parallel: usize,
        /// The longest queue.
        queue: usize,
    },
    /// The prompt leaves no room for a reply.
    #[error(
        "the prompt has {prompt_tokens} tokens or more and the context holds {context_length}, the reply included; shorten the prompt"
    )]
    PromptTooLong {
        /// Tokens in the prompt; where the text was far too long to count, the fewest that it can have.
        prompt_tokens: u64,
        /// Tokens that prompt and reply may have together.
        context_length: u32,
    },
    /// Every place for rendering a prompt is taken.
    #[error("no prompt can be rendered now: every place for that is taken; try again later or elsewhere")]
    RenderingBusy,
    /// A parameter has a value that makes no sense.
    #[error("{name} {reason}")]
    InvalidParameter {
        /// The parameter's name, as OpenAI's API writes it.
        name: &'static str,
        /// What is wrong with it, and what is right.
        reason: String,
    },
    /// The model, or this crate, can't do what is asked.
    #[error("{0}")]
    Unsupported(String),
    /// A parameter asks for what can't be done here. It is refused because leaving it out would change the answer.
    #[error("{name} is not supported here: {reason}")]
    UnsupportedParameter {
        /// The parameter's name, as OpenAI's API writes it.
        name: String,
        /// What can't be done, and what to send instead.
        reason: &'static str,
    },
    /// The model's chat template failed on these messages.
    #[error("the model's chat template can't render these messages: {0}")]
    Template(String),
    /// The engine was shut down before the request was done.
    #[error("the engine was shut down; ask elsewhere")]
    Stopped,
    /// The engine's worker thread died; nothing more comes from it.
    #[error("the engine failed: {0}; load the model again")]
    Failed(String),
    /// llama.cpp failed in a step, and every request that shared the step failed with it. The engine goes on.
    #[error(
        "llama.cpp failed in a step that this request had a part in: {0}; try again, and load the model again if it fails again"
    )]
    Decode(String),
}

impl From<GgufError> for LlamaError {
    fn from(error: GgufError) -> Self {
        Self::Gguf(std::sync::Arc::new(error))
    }
}

impl LlamaError {
    pub(crate) fn invalid(name: &'static str, reason: impl Into<String>) -> Self {
        Self::InvalidParameter {
            name,
            reason: reason.into(),
        }
    }
}

impl From<LlamaError> for Error {
    fn from(error: LlamaError) -> Self {
        let message = error.to_string();
        let (kind, code) = match &error {
            LlamaError::Gguf(_) => (ErrorKind::Unavailable, "model_file_unusable"),
            LlamaError::Load { .. } => (ErrorKind::Unavailable, "model_load_failed"),
            LlamaError::Context { .. } => (ErrorKind::Unavailable, "context_failed"),
            LlamaError::Overloaded { .. } => (ErrorKind::Overloaded, "queue_full"),
            LlamaError::RenderingBusy => (ErrorKind::Overloaded, "rendering_busy"),
            LlamaError::PromptTooLong { .. } => (ErrorKind::Invalid, "context_length_exceeded"),
            LlamaError::InvalidParameter { .. } => (ErrorKind::Invalid, "invalid_parameter"),
            LlamaError::Unsupported(_) => (ErrorKind::Unsupported, "unsupported"),
            LlamaError::UnsupportedParameter { .. } => (ErrorKind::Unsupported, "unsupported_parameter"),
            LlamaError::Template(_) => (ErrorKind::Invalid, "chat_template_failed"),
            LlamaError::Stopped => (ErrorKind::Unavailable, "engine_stopped"),
            LlamaError::Failed(_) => (ErrorKind::Unavailable, "engine_failed"),
            LlamaError::Decode(_) => (ErrorKind::Internal, "decode_failed"),
        };
        let converted = Self::new(kind, code, message);
        let converted = match &error {
            LlamaError::InvalidParameter { name, .. } => converted.with_param(*name),
            LlamaError::UnsupportedParameter { name, .. } => converted.with_param(name.clone()),
            _ => converted,
        };
        // The cause of a file error, an `io::Error`, is kept; everything else says it all.
        match std::error::Error::source(&error) {
            Some(cause) => converted.with_source(cause.to_string()),
            None => converted,
        }
    }
}
