//! The program `api_keys`, as operators and scripts use it, before a gateway that runs.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so")]

mod commands;
mod killed;
mod program;
