//! Modules of engines, and what is counted around any.

mod fake;
mod meter;
mod vllm;
