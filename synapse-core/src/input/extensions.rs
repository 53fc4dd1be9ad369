//! What travels beside a request, whoever put it there.

use tokio::time::Instant;

use crate::CallerId;

/// Who asks, as far as the door could tell. Set by a router or an authenticating layer, read by limits and ledgers.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Caller(CallerId);

impl Caller {
    /// A caller by its id.
    pub fn new(id: impl Into<CallerId>) -> Self {
        Self(id.into())
    }

    /// The caller's id.
    #[must_use]
    pub fn id(&self) -> &CallerId {
        &self.0
    }
}

/// When the answer is no longer wanted. Queues never start work after it; remote modules pass on what is left of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(Instant);

impl Deadline {
    /// The deadline at `instant`.
    #[must_use]
    pub fn at(instant: Instant) -> Self {
        Self(instant)
    }

    /// The instant itself.
    #[must_use]
    pub fn instant(self) -> Instant {
        self.0
    }
}
