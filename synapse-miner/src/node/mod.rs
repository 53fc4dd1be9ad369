//! The loop that earns: a node that serves a module, is registered, and is listed as what it is.
//!
//! [`MinerNode`] owns the order. It binds its address, initialises its module, looks at it and asks it something; it waits
//! for its chain; then it serves. Only what really serves is paid for and listed: registering and advertising come last.
//! Every few seconds it looks at its module, every half minute after everything else. It drains when it is told to, or when
//! its [`Miner`] wants to, and leaves the subnet only where it was told to.
//!
//! # What outlives it?
//! `state.json` in its data directory: what it paid, whether it was a member, and what it was about to pay. Each change is on
//! disk before what it is about is sent, so that a node that is killed at any moment registers once.
//!
//! # What does it tell?
//! [`MinerEvent`]s as they happen, and a [`MinerStatus`] to follow. An event that [is an alert](MinerEvent::is_alert) stands in
//! the status until something else is said about the same. What authors and programs hand in may panic: that is an alert,
//! and the node goes on.

mod board;
mod builder;
mod check;
mod event;
mod miner;
mod reach;
mod register;
mod registrar;
mod run;
mod scores;
mod serve;
mod signals;
mod state;
mod status;
mod watchman;

pub use self::{
    builder::{Listen, MinerNode},
    event::MinerEvent,
    miner::{Miner, StandardMiner},
    register::Register,
    scores::ScoreSource,
    status::{ActiveAlert, HealthSeen, Membership, MinerStatus, ScoreSeen, Stage},
};
