#![doc = include_str!("../README.md")]

pub mod backtest;
pub mod billing;
#[cfg(feature = "config")]
pub mod config;
pub mod evidence;
mod judge;
pub mod ledger;
pub mod node;
pub mod pool;
pub mod rate_limit;
mod same_model;
pub mod score;
pub mod state;
pub mod token_count;
pub mod trace;
pub mod transcript;
pub mod weights;

pub use self::{
    billing::PriceBook,
    evidence::EvidenceLog,
    judge::{StandardValidator, Validator},
    ledger::{Ledger, LedgerLayer},
    node::ValidatorNode,
    pool::{MinerPool, P2c, PeakEwma},
    rate_limit::{Quota, RateLimitLayer},
    score::{ScorePolicy, StandardPolicy},
    state::State,
    token_count::{TokenCountLayer, Tokenizers},
    trace::TraceLayer,
};
