//! How long to wait before the next attempt.

use std::{
    hash::{BuildHasher, RandomState},
    time::Duration,
};

/// Waits that double from `first` to `longest`, each shortened at random by up to a half, so that the followers of a
/// chain that comes back do not ask all at once.
#[derive(Debug)]
pub(super) struct Backoff {
    next: Duration,
    first: Duration,
    longest: Duration,
}

impl Backoff {
    pub(super) fn new(first: Duration, longest: Duration) -> Self {
        Self {
            next: first,
            first,
            longest,
        }
    }

    /// The next wait.
    pub(super) fn next(&mut self) -> Duration {
        let wait = self.next;
        self.next = (wait * 2).min(self.longest);
        let random = RandomState::new().hash_one(wait) % 1000;
        wait.mul_f64(1.0 - f64::from(u32::try_from(random).expect("below 1000")) / 2000.0)
    }

    /// The waits are short again: an attempt succeeded.
    pub(super) fn reset(&mut self) {
        self.next = self.first;
    }
}
