//! What a request's wait was.

use std::time::Duration;

/// How long a request stood in line: in the [extensions](synapse_core::Head::extensions) of the head of its reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueWait {
    position: usize,
    waited: Duration,
}

impl QueueWait {
    pub(super) fn new(position: usize, waited: Duration) -> Self {
        Self { position, waited }
    }

    /// Its position when it came: 1 for the next in line, 0 where it did not have to wait.
    #[must_use]
    pub fn position_at_entry(&self) -> usize {
        self.position
    }

    /// How long it waited for its place.
    #[must_use]
    pub fn waited(&self) -> Duration {
        self.waited
    }
}
