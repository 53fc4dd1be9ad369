//! The engine: one worker thread that owns a llama.cpp context and batches requests over its sequences.
//!
//! Each turn of the worker is one decode step. A step carries one token of every reply that is being written, and fills
//! the rest of its batch with pieces of the prompts that are waiting, in equal shares: a long prompt slows the others
//! down and never stops them. Before each step the worker looks for callers that left, and frees their sequences, so a
//! request that was dropped costs at most the step that was running.

mod config;
mod embedding;
mod handle;
mod logprobs;
mod request;
mod sampling;
mod sequence;
mod shared;
mod stream;
mod text;
mod worker;

pub use config::EngineConfig;
pub use handle::Engine;
pub use request::GenerateRequest;
pub use sampling::Sampling;
pub use shared::{EngineStats, EngineStatus};
pub use stream::{Generation, GenerationEvent};
