//! The contract, through the public door.

#![allow(clippy::unwrap_used, reason = "a test fails where it finds none")]

mod body;
mod broken;
mod concurrency;
mod config;
mod config_properties;
mod config_wrong;
mod conformance;
mod data_dir;
mod deadline;
mod errors;
mod fakes;
#[cfg(target_os = "linux")]
mod full_disk;
mod input;
mod keys;
mod keys_changes;
mod keys_files;
#[cfg(target_os = "linux")]
mod keys_memory;
mod keys_mnemonic;
mod keys_store;
mod middleware;
mod peek;
mod pending;
mod probe;
mod probe_questions;
mod properties;
mod stack;
mod tower_layers;
mod transform;
mod values;
