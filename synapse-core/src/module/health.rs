//! How a module is.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::Capacity;

/// How a module is, why, and since when.
///
/// ```
/// use synapse_core::{Health, HealthStatus};
/// let health = Health::ready().worse(Health::degraded("the queue is 90 % full"));
/// assert_eq!(health.status(), HealthStatus::Degraded);
/// assert_eq!(health.reason(), Some("the queue is 90 % full"));
/// ```
#[derive(Debug, Clone)]
pub struct Health {
    status: HealthStatus,
    reason: Option<Cow<'static, str>>,
    since: Instant,
    capacity: Option<Capacity>,
}

/// In one word. A higher one is worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HealthStatus {
    /// It answers.
    Ready,
    /// It answers, but worse than it should.
    Degraded,
    /// It does not answer.
    Unhealthy,
}

impl Health {
    /// It answers.
    #[must_use]
    pub fn ready() -> Self {
        Self {
            status: HealthStatus::Ready,
            reason: None,
            since: Instant::now(),
            capacity: None,
        }
    }

    /// It answers, but worse than it should, for this reason.
    pub fn degraded(reason: impl Into<Cow<'static, str>>) -> Self {
        Self {
            status: HealthStatus::Degraded,
            reason: Some(reason.into()),
            since: Instant::now(),
            capacity: None,
        }
    }

    /// It does not answer, for this reason.
    pub fn unhealthy(reason: impl Into<Cow<'static, str>>) -> Self {
        Self {
            status: HealthStatus::Unhealthy,
            reason: Some(reason.into()),
            since: Instant::now(),
            capacity: None,
        }
    }

    /// The same, since `instant` rather than now.
    #[must_use]
    pub fn since(mut self, instant: Instant) -> Self {
        self.since = instant;
        self
    }

    /// In one word.
    #[must_use]
    pub fn status(&self) -> HealthStatus {
        self.status
    }

    /// Why it is not simply ready.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }

    /// Since when it is so.
    #[must_use]
    pub fn since_instant(&self) -> Instant {
        self.since
    }

    /// The same with what there is room for now.
    #[must_use]
    pub fn with_capacity(mut self, capacity: Capacity) -> Self {
        self.capacity = Some(capacity);
        self
    }

    /// What there is room for now, where somebody measures it.
    #[must_use]
    pub fn capacity(&self) -> Option<Capacity> {
        self.capacity
    }

    /// Whether requests should be sent to it at all.
    #[must_use]
    pub fn is_serving(&self) -> bool {
        self.status != HealthStatus::Unhealthy
    }

    /// The worse of the two; this one where they are equally bad. What both have room for is room for both: the
    /// [narrower](Capacity::narrower) of the two.
    #[must_use]
    pub fn worse(self, other: Self) -> Self {
        let capacity = match (self.capacity, other.capacity) {
            (Some(ours), Some(theirs)) => Some(ours.narrower(theirs)),
            (ours, theirs) => ours.or(theirs),
        };
        let worse = if other.status > self.status { other } else { self };
        Self { capacity, ..worse }
    }
}
