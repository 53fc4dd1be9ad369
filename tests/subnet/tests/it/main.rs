//! Several roles together, over real sockets.

#![allow(clippy::unwrap_used, reason = "a test says what is wrong by panicking")]

mod bad_input;
mod cancelled;
mod capacity;
mod fair;
mod leaving;
mod operated;
mod overload;
mod passthrough;
mod probes;
