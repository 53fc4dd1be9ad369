//! llama.cpp, embedded.

mod backend;
pub mod engine;
mod error;
pub mod gguf;
pub mod shim;
mod weights;

pub use error::LlamaError;
pub use weights::LlamaWeights;
