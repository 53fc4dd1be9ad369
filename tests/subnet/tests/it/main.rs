//! Several roles together, over real sockets.

#![allow(clippy::unwrap_used, reason = "a test says what is wrong by panicking")]

mod bad_input;
mod bad_input_billed;
mod bad_input_gateway;
mod bad_input_more;
mod bad_input_odd;
mod bad_input_sent;
mod cancelled;
mod capacity;
mod fair;
mod leaving;
mod operated;
mod overload;
mod passthrough;
mod probes;
