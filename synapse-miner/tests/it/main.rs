//! The miner's layers, through the public door.

#![allow(clippy::unwrap_used, reason = "a test fails where it finds none")]

mod advertise;
mod engine;
mod queue;
mod queue_endings;
mod queue_reports;
mod queue_stress;
