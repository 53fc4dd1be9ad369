#![doc = include_str!("../README.md")]

mod backend;
mod chain;
#[cfg(feature = "config")]
pub mod config;
mod local;
#[cfg(feature = "remote")]
pub mod remote;
mod subnet;
mod transaction;

#[cfg(feature = "failpoints")]
pub use self::local::StoreFault;
pub use self::{
    backend::{Account, Head, Supply},
    chain::LocalChain,
    local::LocalChainBuilder,
    subnet::LocalSubnet,
    transaction::{
        Call, ChainId, Consent, Outcome, Receipt, Refusal, SignedTransaction, Transaction, TxHash,
    },
};
