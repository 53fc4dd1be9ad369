//! The miner's layers, through the public door.

#![allow(clippy::unwrap_used, reason = "a test fails where it finds none")]

mod advertise;
mod engine;
mod node;
mod preflight;
#[cfg(target_os = "linux")]
mod preflight_disk;
mod preflight_faults;
mod queue;
mod queue_endings;
mod queue_reports;
mod queue_stress;
