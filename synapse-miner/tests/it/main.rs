//! The miner's layers, through the public door.

mod engine;
mod queue;
mod queue_endings;
mod queue_reports;
mod queue_stress;
