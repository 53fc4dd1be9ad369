//! This crate through its public door.

mod dialect;
mod sse;
