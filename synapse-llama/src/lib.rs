//! llama.cpp embedded in a process: a GGUF file as an [inference module](synapse_core::InferenceModule), with its
//! tokenizer and its chat template.
//!
//! - [`LlamaModule`] is what most programs use: `LlamaModule::builder(path).load().await?`.
//! - [`LlamaWeights`] are a model loaded once; several modules, engines and tokenizers share them.
//! - [`LlamaTokenizer`] and [`ChatTemplate`] are the model's own [`Tokenizer`](synapse_core::Tokenizer) and
//!   [`PromptRenderer`](synapse_core::PromptRenderer); a validator that counts tokens needs only these.
//! - [`engine`] batches requests over one context on one thread; [`gguf`] reads a file's header with care.
//!
//! Building it needs a C++ compiler, cmake and libclang, so it is no default member of the workspace. llama.cpp's log
//! goes to `tracing` under the target `llama-cpp-2`.

mod backend;
mod digest;
pub mod engine;
mod error;
pub mod gguf;
mod module;
mod template;
mod tokenizer;
mod weights;

pub use error::LlamaError;
pub use module::{LlamaModule, LlamaModuleBuilder};
pub use template::{ChatTemplate, PromptPiece};
pub use tokenizer::LlamaTokenizer;
pub use weights::LlamaWeights;
