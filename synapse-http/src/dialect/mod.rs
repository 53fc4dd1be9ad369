//! Wire formats, one folder each.

pub mod openai;

pub use self::openai::OpenAi;
