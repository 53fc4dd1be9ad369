//! What a caller has left.

use std::time::Duration;

/// What a caller has left of its quota: an extension of the output's head. The router of
/// synapse-http does not print it as headers yet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RateLimitStatus {
    /// Of its requests, where those are limited.
    pub requests: Option<WindowStatus>,
    /// Of its tokens, where those are limited; with what this request reserved counted as used.
    pub tokens: Option<WindowStatus>,
}

/// What is left of one window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowStatus {
    limit: u64,
    remaining: u64,
    reset: Duration,
}

impl WindowStatus {
    pub(super) fn new(limit: u64, remaining: u64, reset: Duration) -> Self {
        Self {
            limit,
            remaining,
            reset,
        }
    }

    /// What a full window holds.
    #[must_use]
    pub fn limit(self) -> u64 {
        self.limit
    }

    /// What is left.
    #[must_use]
    pub fn remaining(self) -> u64 {
        self.remaining
    }

    /// How long until it is full again, if nothing is taken.
    #[must_use]
    pub fn reset(self) -> Duration {
        self.reset
    }
}
