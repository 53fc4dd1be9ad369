//! What a request's wait was.

use std::time::Duration;

/// How long a request stood in line: an [extension](super::Head::extensions) of the head of its reply, set by whoever had it
/// wait. Over HTTP it is the headers `x-synapse-queue-wait-ms` and `x-synapse-queue-position` of the reply.
///
/// The default is that of a request that did not have to wait.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct QueueWait {
    position: usize,
    expected: Duration,
    waited: Duration,
}

impl QueueWait {
    /// Came in at this position, was expected to wait so long, and waited so long.
    #[must_use]
    pub fn new(position_at_entry: usize, expected_at_entry: Duration, waited: Duration) -> Self {
        Self {
            position: position_at_entry,
            expected: expected_at_entry,
            waited,
        }
    }

    /// Its position when it came: 1 for the next in line, 0 where it did not have to wait. Behind others who wait it is
    /// what their shares make likely.
    #[must_use]
    pub fn position_at_entry(&self) -> usize {
        self.position
    }

    /// How long it was expected to wait when it came; zero before the queue saw any request end.
    #[must_use]
    pub fn expected_at_entry(&self) -> Duration {
        self.expected
    }

    /// How long it waited for its place.
    #[must_use]
    pub fn waited(&self) -> Duration {
        self.waited
    }
}
