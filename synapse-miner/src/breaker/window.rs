//! How requests ended of late.

use std::collections::VecDeque;

use tokio::time::{Duration, Instant};

/// How many endings are remembered at most.
const MOST: usize = 256;

/// How requests ended of late.
#[derive(Debug, Default)]
pub(super) struct Window {
    endings: VecDeque<(Instant, bool)>,
    failures: usize,
}

impl Window {
    pub(super) fn push(&mut self, now: Instant, failed: bool, length: Duration) {
        while self.endings.len() >= MOST
            || (self.endings.front()).is_some_and(|(at, _)| now.duration_since(*at) > length)
        {
            if let Some((_, true)) = self.endings.pop_front() {
                self.failures -= 1;
            }
        }
        self.endings.push_back((now, failed));
        self.failures += usize::from(failed);
    }

    pub(super) fn len(&self) -> usize {
        self.endings.len()
    }

    pub(super) fn failures(&self) -> usize {
        self.failures
    }

    pub(super) fn clear(&mut self) {
        self.endings.clear();
        self.failures = 0;
    }
}
