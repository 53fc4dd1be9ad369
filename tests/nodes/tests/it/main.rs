//! Nodes as processes: what happens to their clients when one is killed, frozen, stopped or restarted.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

mod billed;
mod configured;
mod ending;
mod frozen;
mod half_open;
mod judged;
mod killed;
mod looks;
mod preflight;
mod private;
mod refused;
mod refused_prices;
mod reload;
mod restarts;
mod start;
mod wire;
