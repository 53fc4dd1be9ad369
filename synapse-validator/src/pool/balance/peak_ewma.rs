//! Latency with a memory for the worst.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use super::{Load, Meter, Observation};

/// The least that a latency counts for, in seconds, so that requests under way always tell two members apart.
const FLOOR: f64 = 1e-6;
/// The most that repeated failures count for, in seconds.
const WORST: f64 = 120.0;

/// Load as *latency to first content × (requests under way + 1)*, where the latency is a peak-sensitive moving average.
///
/// A sample above the average replaces it at once; one below draws it down by `1 − e^(−Δt/decay)`; and while nothing is
/// observed it fades towards zero, so that a member which was slow is asked again (the estimator of Finagle's
/// `PeakEwma`). A failure counts as a slow answer: twice the average, at least [`penalty`](PeakEwma::penalty), so a
/// member that fails fast does not look fast.
///
/// Defaults: decay 10 s, a member not asked yet counts as 500 ms, a failure as at least 5 s.
#[derive(Debug, Clone, Copy)]
pub struct PeakEwma {
    decay: Duration,
    initial: Duration,
    penalty: Duration,
}

impl PeakEwma {
    /// How fast what was seen is forgotten: after this long it counts 1/e.
    #[must_use]
    pub fn decay(mut self, decay: Duration) -> Self {
        self.decay = decay;
        self
    }

    /// What a member counts as before its first answer.
    #[must_use]
    pub fn initial(mut self, latency: Duration) -> Self {
        self.initial = latency;
        self
    }

    /// What a failure counts as, at least.
    #[must_use]
    pub fn penalty(mut self, latency: Duration) -> Self {
        self.penalty = latency;
        self
    }
}

impl Default for PeakEwma {
    fn default() -> Self {
        Self {
            decay: Duration::from_secs(10),
            initial: Duration::from_millis(500),
            penalty: Duration::from_secs(5),
        }
    }
}

impl Load for PeakEwma {
    fn meter(&self) -> Box<dyn Meter> {
        Box::new(Ewma {
            settings: *self,
            estimate: Mutex::new(Estimate {
                seconds: self.initial.as_secs_f64(),
                at: Instant::now(),
            }),
        })
    }
}

#[derive(Debug)]
struct Ewma {
    settings: PeakEwma,
    estimate: Mutex<Estimate>,
}

#[derive(Debug, Clone, Copy)]
struct Estimate {
    seconds: f64,
    at: Instant,
}

impl Ewma {
    /// What is left of a weight of 1 after the time since `at`.
    fn fading(&self, at: Instant, now: Instant) -> f64 {
        let elapsed = now.saturating_duration_since(at).as_secs_f64();
        (-elapsed / self.settings.decay.as_secs_f64().max(FLOOR)).exp()
    }
}

impl Meter for Ewma {
    fn load(&self, in_flight: u32) -> f64 {
        let estimate = *self.estimate.lock().unwrap_or_else(PoisonError::into_inner);
        let faded = estimate.seconds * self.fading(estimate.at, Instant::now());
        faded.max(FLOOR) * (f64::from(in_flight) + 1.0)
    }

    fn observe(&self, observation: Observation) {
        let now = Instant::now();
        let mut estimate = self.estimate.lock().unwrap_or_else(PoisonError::into_inner);
        let keep = self.fading(estimate.at, now);
        let faded = estimate.seconds * keep;
        let seconds = match observation {
            Observation::FirstContent(latency) => {
                let sample = latency.as_secs_f64();
                if sample > faded {
                    sample
                } else {
                    estimate.seconds * keep + sample * (1.0 - keep)
                }
            }
            Observation::Failed(after) => {
                let bad = after.max(self.settings.penalty).as_secs_f64();
                (faded * 2.0).clamp(bad.min(WORST), WORST)
            }
            Observation::Abandoned(after) => faded.max(after.as_secs_f64()),
        };
        *estimate = Estimate { seconds, at: now };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn rises_at_once_and_fades_with_time() {
        let meter = PeakEwma::default().meter();
        meter.observe(Observation::FirstContent(Duration::from_secs(4)));
        assert!((meter.load(0) - 4.0).abs() < 1e-9);
        assert!((meter.load(2) - 12.0).abs() < 1e-9);
        tokio::time::advance(Duration::from_secs(10)).await;
        assert!((meter.load(0) - 4.0 / std::f64::consts::E).abs() < 1e-9);
    }

    #[tokio::test(start_paused = true)]
    async fn a_fast_failure_is_slower_than_a_slow_answer() {
        let (failing, slow) = (PeakEwma::default().meter(), PeakEwma::default().meter());
        failing.observe(Observation::Failed(Duration::ZERO));
        slow.observe(Observation::FirstContent(Duration::from_secs(3)));
        assert!(failing.load(0) > slow.load(0));
        failing.observe(Observation::Failed(Duration::ZERO));
        assert!(
            (failing.load(0) - 10.0).abs() < 1e-9,
            "a second failure counts double"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_abandoned_only_raises_the_estimate() {
        let meter = PeakEwma::default().meter();
        let before = meter.load(0);
        meter.observe(Observation::Abandoned(Duration::from_millis(1)));
        assert!((meter.load(0) - before).abs() < 1e-9);
        meter.observe(Observation::Abandoned(Duration::from_secs(60)));
        assert!((meter.load(0) - 60.0).abs() < 1e-9);
    }
}
