//! What a caller has left.

use std::{error::Error as StdError, fmt, time::Duration};

/// What a caller has left of its quota: an [extension](super::Head::extensions) of the output's head, and over HTTP the
/// headers `x-ratelimit-*` of the reply. Of several windows of a unit it is the one that is nearest to its end.
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

impl RateLimitStatus {
    /// What is left of each.
    #[must_use]
    pub fn new(requests: Option<WindowStatus>, tokens: Option<WindowStatus>) -> Self {
        Self { requests, tokens }
    }
}

impl WindowStatus {
    /// A window that holds `limit`, has `remaining`, and is full after `reset` if nothing is taken.
    #[must_use]
    pub fn new(limit: u64, remaining: u64, reset: Duration) -> Self {
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

/// Why a rate limit refused: the [source](std::error::Error::source) of its error, so that a refusal has the headers
/// `x-ratelimit-*` too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimited(pub RateLimitStatus);

impl fmt::Display for RateLimited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let left = |window: Option<WindowStatus>| {
            window.map_or("unlimited".into(), |window| window.remaining.to_string())
        };
        write!(
            f,
            "left: {} requests, {} tokens",
            left(self.0.requests),
            left(self.0.tokens)
        )
    }
}

impl StdError for RateLimited {}
