#![doc = include_str!("../README.md")]

pub mod pool;
pub mod rate_limit;
pub mod token_count;
pub mod trace;

pub use self::{
    pool::{MinerPool, P2c, PeakEwma},
    rate_limit::{Quota, RateLimitLayer},
    token_count::{TokenCountLayer, Tokenizers},
    trace::TraceLayer,
};
