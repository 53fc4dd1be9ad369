//! What an operator sees of a queue.

use std::time::Duration;

use serde::Serialize;

/// A queue at one moment, for whoever runs it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct QueueStatus {
    /// Requests that may be under way at once, as things are now.
    pub places: usize,
    /// Requests under way.
    pub in_flight: usize,
    /// Requests that wait.
    pub waiting: usize,
    /// Requests that may wait.
    pub bound: usize,
    /// How long somebody new would wait.
    pub expected_wait: Duration,
    /// Who has requests here, or owes for some that he had; whoever has most in line first.
    pub callers: Vec<QueueCaller>,
}

/// One caller of a queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct QueueCaller {
    /// The node, or whom the door named; `anybody` for those without a name.
    pub caller: String,
    /// What he has at stake.
    pub stake: u64,
    /// His requests that wait.
    pub waiting: usize,
    /// His requests under way.
    pub in_flight: usize,
    /// Tokens that he is owed (above 0) or owes (below) in his turn.
    pub balance: i64,
}
