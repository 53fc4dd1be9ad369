//! Real engines under supervision, and what befalls them. Each test prints how long its engine was gone.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test fails where it finds none")]

mod llama;
mod memory;
mod miner;
mod ollama;
mod serving;
mod setup;
mod watched;
