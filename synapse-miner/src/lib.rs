#![doc = include_str!("../README.md")]
#![doc(test(attr(deny(warnings))))]

pub mod advertise;
pub mod queue;

pub use self::{
    advertise::{Advertised, Advertiser},
    queue::{QueueLayer, QueueWait},
};
