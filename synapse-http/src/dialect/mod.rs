//! Wire formats, one folder each.

pub mod ollama;
pub mod openai;

pub use self::{ollama::Ollama, openai::OpenAi};
