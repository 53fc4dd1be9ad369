//! A set's limits and waits.

use std::time::Duration;

/// A set's limits and waits; those that have a method on the set can be set.
#[derive(Debug, Clone, Copy)]
pub(super) struct Settings {
    /// Wait for a replica to start.
    pub(super) start_within: Duration,
    /// Wait for one that starts when it is not wanted any more.
    pub(super) stop_within: Duration,
    /// Pause between two looks at a replica that is well, and at one that is not.
    pub(super) look_every: Duration,
    pub(super) look_again: Duration,
    /// Wait for a replica to say how it is.
    pub(super) look_within: Duration,
    /// How long a replica may be unwell before it is replaced.
    pub(super) patience: Duration,
    /// Wait for what is under way with a replica that is not wanted any more, and with one that is unwell.
    pub(super) drain: Duration,
    pub(super) drain_unwell: Duration,
    /// Wait for a replica to end.
    pub(super) shutdown: Duration,
    /// Pause after a replica's first failure; doubles up to the other.
    pub(super) retry: Duration,
    pub(super) retry_most: Duration,
    /// How long a replica has to live for its failures to be forgotten.
    pub(super) settled: Duration,
    /// How often the policy is asked.
    pub(super) decide_every: Duration,
    /// Replicas that are asked for one request.
    pub(super) attempts: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            start_within: Duration::from_secs(600),
            stop_within: Duration::from_secs(30),
            look_every: Duration::from_secs(2),
            look_again: Duration::from_millis(250),
            look_within: Duration::from_secs(3),
            patience: Duration::from_secs(3),
            drain: Duration::from_secs(60),
            drain_unwell: Duration::from_secs(1),
            shutdown: Duration::from_secs(15),
            retry: Duration::from_millis(500),
            retry_most: Duration::from_secs(60),
            settled: Duration::from_secs(60),
            decide_every: Duration::from_secs(1),
            attempts: 3,
        }
    }
}
