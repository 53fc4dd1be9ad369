//! Nodes as processes: what happens to their clients when one is killed, frozen or restarted.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

mod frozen;
