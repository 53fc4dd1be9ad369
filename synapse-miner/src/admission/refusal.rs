//! Why a request was not admitted.

use std::time::Duration;

use synapse_core::{Error, ErrorKind, Retry};

/// When memory may be free again.
const MEMORY_AGAIN: Duration = Duration::from_secs(5);
/// Nobody is told to come back sooner, nor later than this.
const SOONEST: Duration = Duration::from_secs(1);
const LATEST: Duration = Duration::from_secs(60);

/// Why a request was not admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    Limit,
    Memory,
    GpuMemory,
}

impl Reason {
    pub(super) const ALL: [Self; 3] = [Self::Limit, Self::Memory, Self::GpuMemory];

    /// The label of the metric.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Limit => "limit",
            Self::Memory => "memory",
            Self::GpuMemory => "gpu_memory",
        }
    }
}

/// `wait` is how long a place takes to come free.
pub(super) fn limit(limit: usize, wait: Duration) -> Error {
    let seconds = Duration::from_secs(wait.as_secs() + u64::from(wait.subsec_nanos() > 0));
    Error::new(
        ErrorKind::Overloaded,
        "concurrency_limit",
        format!("all {limit} requests that the engine works on well at once are under way"),
    )
    .with_retry(Retry::After(seconds.clamp(SOONEST, LATEST)))
    .with_hint("retry after the time given, or ask another miner")
}

pub(super) fn memory(free: u64, headroom: u64) -> Error {
    low("memory_low", "memory", free, headroom)
}

pub(super) fn gpu_memory(free: u64, headroom: u64) -> Error {
    low("gpu_memory_low", "memory on a GPU", free, headroom)
}

fn low(code: &'static str, what: &str, free: u64, headroom: u64) -> Error {
    Error::new(
        ErrorKind::Overloaded,
        code,
        format!("{free} bytes of {what} are free, and {headroom} are kept free"),
    )
    .with_retry_after(MEMORY_AGAIN)
    .with_hint("ask another miner; the operator can free memory or set the headroom lower")
}
