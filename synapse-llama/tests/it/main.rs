//! The crate through its public door, with a real model.

mod support;

mod cancel;
mod chat;
mod embeddings;
mod engine;
mod files;
mod limits;
mod module;
mod reader;
mod template;
mod token_counts;
mod tokenizer;
