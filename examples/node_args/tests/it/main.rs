//! What the programs of a node show of it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so")]

mod config;
mod status;
mod table;
