//! Several roles together, over real sockets.

#![allow(clippy::unwrap_used, reason = "a test says what is wrong by panicking")]

mod bad_input;
mod cancelled;
mod capacity;
mod leaving;
mod passthrough;
mod probes;
