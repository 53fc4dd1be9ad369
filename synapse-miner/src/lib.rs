#![doc = include_str!("../README.md")]
#![doc(test(attr(deny(warnings))))]

pub mod access;
pub mod admission;
pub mod advertise;
pub mod breaker;
mod claimed;
#[cfg(feature = "config")]
pub mod config;
#[cfg(all(feature = "container", target_os = "linux"))]
pub mod container;
pub mod inference;
pub mod monitor;
pub mod node;
pub mod ollama;
pub mod preflight;
pub mod queue;
pub mod scale;
#[cfg(unix)]
pub mod supervisor;

pub use self::{
    admission::AdmissionLayer,
    advertise::{Advertised, Advertiser},
    breaker::CircuitBreakerLayer,
    node::{Listen, Miner, MinerEvent, MinerNode, MinerStatus, Register, ScoreSource, StandardMiner},
    preflight::Preflight,
    queue::{QueueLayer, QueueWait},
};
