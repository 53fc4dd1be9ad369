#![doc = include_str!("../README.md")]
#![doc(test(attr(deny(warnings))))]

pub mod advertise;
mod claimed;
#[cfg(feature = "config")]
pub mod config;
pub mod node;
pub mod preflight;
pub mod queue;

pub use self::{
    advertise::{Advertised, Advertiser},
    node::{Listen, Miner, MinerEvent, MinerNode, MinerStatus, Register, ScoreSource, StandardMiner},
    preflight::Preflight,
    queue::{QueueLayer, QueueWait},
};
