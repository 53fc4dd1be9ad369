//! How long a place is held of late.

use std::time::Duration;

/// How much the latest request counts in the means.
const RECENCY: f64 = 0.2;
/// So many requests are seen before anybody is refused for what they took.
const ENOUGH: u32 = 8;

/// How long a place is held of late, and by requests of what size.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Pace {
    seen: u32,
    hold: f64,
    cost: f64,
}

impl Pace {
    /// A place was held this long by a request that was answered, which was guessed to take `cost` tokens.
    #[expect(clippy::cast_precision_loss, reason = "a number of tokens")]
    pub(super) fn observe(&mut self, held: Duration, cost: u64) {
        let recency = if self.seen == 0 { 1.0 } else { RECENCY };
        self.hold += (held.as_secs_f64() - self.hold) * recency;
        self.cost += (cost as f64 - self.cost) * recency;
        self.seen = self.seen.saturating_add(1);
    }

    /// What the time of a place to come free is, so many times over; zero before there were any requests.
    pub(super) fn rounds(&self, rounds: usize) -> Duration {
        Duration::try_from_secs_f64(self.hold)
            .unwrap_or_default()
            .saturating_mul(u32::try_from(rounds).unwrap_or(u32::MAX))
    }

    /// What a request of this size takes, by the mean of all: twice the mean at most, since what a reply may have and what it
    /// has are two things. `None` before enough was seen.
    #[expect(clippy::cast_precision_loss, reason = "a number of tokens")]
    pub(super) fn needs(&self, cost: u64) -> Option<Duration> {
        if self.seen < ENOUGH || self.cost <= 0.0 {
            return None;
        }
        Duration::try_from_secs_f64(self.hold * (cost as f64 / self.cost).min(2.0)).ok()
    }
}
