//! How long something took, so often as it was done.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use synapse_core::MetricsData;

/// The bounds that are counted by, in microseconds, and as Prometheus writes them in seconds.
const BOUNDS: [(u64, &str); 12] = [
    (500, "0.0005"),
    (1_000, "0.001"),
    (2_500, "0.0025"),
    (5_000, "0.005"),
    (10_000, "0.01"),
    (25_000, "0.025"),
    (50_000, "0.05"),
    (100_000, "0.1"),
    (250_000, "0.25"),
    (500_000, "0.5"),
    (1_000_000, "1"),
    (5_000_000, "5"),
];

/// How the disk does.
#[derive(Debug, Default)]
pub(super) struct Timings {
    /// What storing took that the disk was asked for.
    pub(super) sync: Histogram,
    /// How long the first row of those that were stored together had waited for it: the others waited for less.
    pub(super) wait: Histogram,
}

/// Times, counted by the bounds that they stay within.
#[derive(Debug, Default)]
pub(super) struct Histogram {
    /// By bound; those beyond the last are the last.
    counts: [AtomicU64; BOUNDS.len() + 1],
    micros: AtomicU64,
}

impl Timings {
    pub(super) fn report(&self, metrics: &mut MetricsData) {
        self.sync.report("ledger.sync_seconds", metrics);
        self.wait.report("ledger.sync_wait_seconds", metrics);
    }
}

impl Histogram {
    pub(super) fn add(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let place = BOUNDS.partition_point(|(bound, _)| *bound < micros);
        self.counts[place].fetch_add(1, Ordering::Relaxed);
        self.micros.fetch_add(micros, Ordering::Relaxed);
    }

    /// Series with the names and the label `le` that Prometheus' histograms have. All of them only grow, and are gauges
    /// nevertheless: the name of a counter would get another ending.
    #[expect(clippy::cast_precision_loss, reason = "a metric past 2^53 may be off by one")]
    fn report(&self, name: &str, metrics: &mut MetricsData) {
        let bucket = format!("{name}_bucket");
        let bounds = BOUNDS.iter().map(|(_, bound)| *bound).chain(["+Inf"]);
        let mut within = 0;
        for (count, bound) in self.counts.iter().zip(bounds) {
            within += count.load(Ordering::Relaxed);
            metrics.gauge_of(bucket.clone(), &[("le", bound)], within as f64);
        }
        metrics.gauge(format!("{name}_count"), within as f64);
        let sum = Duration::from_micros(self.micros.load(Ordering::Relaxed));
        metrics.gauge(format!("{name}_sum"), sum.as_secs_f64());
    }
}
