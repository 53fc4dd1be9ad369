//! The same limits, wherever the accounts are.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test fails where it finds none")]

mod agreement;
mod away;
mod exact;
mod jumps;
mod places;
mod suite;
