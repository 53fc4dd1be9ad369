//! The miner's layers, through the public door.

#![allow(clippy::unwrap_used, reason = "a test fails where it finds none")]

mod access;
mod access_doors;
mod access_privacy;
mod admission;
mod advertise;
mod breaker;
mod engine;
mod inference;
#[cfg(feature = "config")]
mod limits_config;
mod monitor;
mod node;
mod ollama;
mod ollama_asked;
mod overload;
mod paced;
mod preflight;
#[cfg(target_os = "linux")]
mod preflight_disk;
mod preflight_faults;
mod queue;
mod queue_endings;
mod queue_fair;
mod queue_reports;
mod queue_stress;
mod residency;
mod residency_policy;
mod scale;
mod scale_policy;
#[cfg(unix)]
mod supervisor;
#[cfg(unix)]
mod supervisor_gpu;
