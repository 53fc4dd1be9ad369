//! The contract, through the public door.

#![allow(clippy::unwrap_used, reason = "a test fails where it finds none")]

mod body;
mod broken;
mod concurrency;
mod conformance;
mod deadline;
mod errors;
mod fakes;
mod input;
mod middleware;
mod peek;
mod pending;
mod properties;
mod stack;
mod tower_layers;
mod transform;
mod values;
