//! What a request's wait was.

use std::time::Duration;

/// How long a request stood in line: in the [extensions](synapse_core::Head::extensions) of the head of its reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueWait {
    position: usize,
    expected: Duration,
    waited: Duration,
}

impl QueueWait {
    pub(super) const NONE: Self = Self::new(0, Duration::ZERO, Duration::ZERO);

    pub(super) const fn new(position: usize, expected: Duration, waited: Duration) -> Self {
        Self {
            position,
            expected,
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
