//! Why a request was not let through.

use std::time::Duration;

use synapse_core::{Error, ErrorKind, Retry};

/// Nobody is told to come back sooner, nor later than this.
const SOONEST: Duration = Duration::from_secs(1);
const LATEST: Duration = Duration::from_secs(60);

/// Why a request was not let through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    Full,
    Displaced,
    Deadline,
    Unreachable,
    MaxWait,
    Closed,
}

impl Reason {
    pub(super) const ALL: [Self; 6] = [
        Self::Full,
        Self::Displaced,
        Self::Deadline,
        Self::Unreachable,
        Self::MaxWait,
        Self::Closed,
    ];

    /// The label of the metric.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Displaced => "displaced",
            Self::Deadline => "deadline",
            Self::Unreachable => "unreachable",
            Self::MaxWait => "max_wait",
            Self::Closed => "closed",
        }
    }
}

pub(super) fn full(waiting: usize, in_flight: usize, wait: Duration) -> Error {
    Error::new(
        ErrorKind::Overloaded,
        "queue_full",
        format!("the queue is full, with {waiting} waiting and {in_flight} under way"),
    )
    .with_retry(Retry::After(whole_seconds(wait)))
    .with_hint("retry after the time given, or ask another miner")
}

pub(super) fn displaced(position: usize, waited: Duration, wait: Duration) -> Error {
    Error::new(
        ErrorKind::Overloaded,
        "queue_displaced",
        format!(
            "the queue is full, and the request, which came in at position {position} and waited {waited:?}, made room \
             for a caller with fewer in line for his stake"
        ),
    )
    .with_retry(Retry::After(whole_seconds(wait)))
    .with_hint("retry after the time given, ask another miner, or have fewer requests wait at once")
}

/// Before it waited, `waited` is `None`.
pub(super) fn unreachable(waited: Option<Duration>, wait: Duration) -> Error {
    let message = match waited {
        None => format!(
            "the request would wait for about {wait:?}, and could not be answered before its deadline then"
        ),
        Some(waited) => format!(
            "the request waited {waited:?}, and what is left until its deadline is too short to answer it"
        ),
    };
    Error::new(ErrorKind::Timeout, "deadline_unreachable", message)
        .with_retry_after(whole_seconds(wait))
        .with_hint("ask another miner, or allow more time")
}

pub(super) fn waited_enough(position: usize, waited: Duration, wait: Duration) -> Error {
    Error::new(
        ErrorKind::Overloaded,
        "queue_wait_exceeded",
        format!("the request came in at position {position} and was not started within {waited:?}"),
    )
    .with_retry(Retry::After(whole_seconds(wait)))
    .with_hint("retry after the time given, or ask another miner")
}

pub(super) fn expired(position: usize, waited: Duration) -> Error {
    let message = if position == 0 {
        "the request's deadline had passed when it reached the queue".to_owned()
    } else {
        format!(
            "the request's deadline passed in the queue, where it came in at position {position} and waited {waited:?}"
        )
    };
    Error::new(ErrorKind::Timeout, "deadline_exceeded", message)
}

pub(super) fn closed() -> Error {
    Error::unavailable(
        "queue_closed",
        "the miner is shutting down and takes no more requests",
    )
    .with_hint("ask another miner")
}

/// Callers are told whole seconds, the unit of HTTP's `Retry-After`.
fn whole_seconds(wait: Duration) -> Duration {
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    Duration::from_secs(seconds).clamp(SOONEST, LATEST)
}
