//! How requests went, counted.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use synapse_core::{Ending, MetricsData};

/// How a request went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Complete,
    Broken,
    Dropped,
    /// Before the reply began, by the caller's fault.
    Refused,
    /// Before the reply began, by anybody else's.
    Failed,
}

impl Outcome {
    const ALL: [Self; 5] = [
        Self::Complete,
        Self::Broken,
        Self::Dropped,
        Self::Refused,
        Self::Failed,
    ];

    pub(super) fn of(ending: &Ending, answered: bool) -> Self {
        match ending {
            Ending::Complete => Self::Complete,
            Ending::Dropped => Self::Dropped,
            Ending::Broken(_) if answered => Self::Broken,
            Ending::Broken(error) if error.kind().is_callers_fault() => Self::Refused,
            Ending::Broken(_) => Self::Failed,
        }
    }

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Broken => "broken",
            Self::Dropped => "dropped",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}

/// How requests went, counted.
#[derive(Debug, Default)]
pub(super) struct Counts {
    requests: [AtomicU64; Outcome::ALL.len()],
    first_content: Times,
    duration: Times,
}

#[derive(Debug, Default)]
struct Times {
    sum_micros: AtomicU64,
    count: AtomicU64,
}

impl Times {
    fn add(&self, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.sum_micros.fetch_add(micros, Ordering::Relaxed);
        self.count.fetch_add(1, Ordering::Relaxed);
    }

    fn read(&self) -> (Duration, u64) {
        let sum = Duration::from_micros(self.sum_micros.load(Ordering::Relaxed));
        (sum, self.count.load(Ordering::Relaxed))
    }
}

impl Counts {
    pub(super) fn ended(&self, outcome: Outcome, duration: Duration) {
        self.requests[outcome as usize].fetch_add(1, Ordering::Relaxed);
        self.duration.add(duration);
    }

    pub(super) fn first_content(&self, after: Duration) {
        self.first_content.add(after);
    }

    pub(super) fn report(&self, metrics: &mut MetricsData) {
        for outcome in Outcome::ALL {
            let count = self.requests[outcome as usize].load(Ordering::Relaxed);
            metrics.counter_of("inference.requests", &[("outcome", outcome.as_str())], count);
        }
        let (sum, count) = self.first_content.read();
        metrics.gauge("inference.time_to_first_content_seconds_sum", sum.as_secs_f64());
        metrics.counter("inference.time_to_first_content_seconds_count", count);
        let (sum, count) = self.duration.read();
        metrics.gauge("inference.duration_seconds_sum", sum.as_secs_f64());
        metrics.counter("inference.duration_seconds_count", count);
    }
}
