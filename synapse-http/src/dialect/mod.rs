//! Wire formats, one folder each.

mod body;
mod form;
pub mod ollama;
pub mod openai;

pub(crate) use self::{
    form::{Form, Heard, ReplyShape, StreamWriter},
    openai::read_error,
};
pub use self::{ollama::Ollama, openai::OpenAi};
