//! Modules of engines, and what is counted around any.

pub(crate) mod fake;
mod llama_server;
mod meter;
mod screen;
mod vllm;
