//! A chain in another process.

mod backoff;
mod builder;
mod chain;
mod follow;
mod http;
mod link;
mod submit;
mod subnets;
mod unknown;

pub use self::{builder::RemoteChainBuilder, unknown::UnknownOutcome};
