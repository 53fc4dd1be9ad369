//! What happens to replicas, in a line each.

use std::{fmt, time::Duration};

use synapse_core::Error;

/// Something that happened to a [`ReplicaSet`](super::ReplicaSet); shown as one line for its operator.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum ReplicaEvent {
    /// So many replicas are wanted, rather than so many.
    Wanted {
        /// Before.
        before: u32,
        /// From now on.
        now: u32,
        /// Requests that wait.
        waiting: u32,
    },
    /// A replica is ready and is asked from now on.
    Started {
        /// Which.
        number: u32,
        /// How long it took to start.
        took: Duration,
    },
    /// A replica did not start.
    StartFailed {
        /// Which.
        number: u32,
        /// Why.
        error: Error,
        /// When it is tried again.
        again_in: Duration,
    },
    /// A replica is not well and is not asked until it is.
    Unwell {
        /// Which.
        number: u32,
        /// Why.
        why: String,
    },
    /// A replica is well again.
    Recovered {
        /// Which.
        number: u32,
    },
    /// A replica stayed unwell: it is ended, and another started in its place.
    Replaced {
        /// Which.
        number: u32,
        /// Why.
        why: String,
    },
    /// A replica that is not needed any more has drained, and ended.
    Stopped {
        /// Which.
        number: u32,
        /// Requests that were under way with it when its time to drain was over.
        cut_off: u32,
    },
}

impl ReplicaEvent {
    /// Whether an operator should look.
    #[must_use]
    pub fn is_alert(&self) -> bool {
        match self {
            Self::StartFailed { .. } | Self::Unwell { .. } | Self::Replaced { .. } => true,
            Self::Stopped { cut_off, .. } => *cut_off > 0,
            _ => false,
        }
    }
}

impl fmt::Display for ReplicaEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Wanted { before, now, waiting } => {
                write!(
                    f,
                    "{now} replicas are wanted instead of {before}, with {waiting} requests waiting"
                )
            }
            Self::Started { number, took } => {
                write!(f, "replica {number} is ready after {:.1} s", took.as_secs_f64())
            }
            Self::StartFailed {
                number,
                error,
                again_in,
            } => write!(
                f,
                "replica {number} did not start: {error}; it is tried again in {:.1} s",
                again_in.as_secs_f64()
            ),
            Self::Unwell { number, why } => write!(f, "replica {number} is not asked any more: {why}"),
            Self::Recovered { number } => write!(f, "replica {number} is well again"),
            Self::Replaced { number, why } => {
                write!(f, "replica {number} stayed unwell and is replaced: {why}")
            }
            Self::Stopped { number, cut_off: 0 } => write!(f, "replica {number} has drained and ended"),
            Self::Stopped { number, cut_off } => {
                write!(f, "replica {number} was ended with {cut_off} requests under way")
            }
        }
    }
}
