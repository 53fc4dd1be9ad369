//! The limit, learned: a gradient over the time that a token takes.

use tokio::time::{Duration, Instant};

/// Where it starts, before anything was learned.
const START: f64 = 4.0;
/// How much slower a token may be than at its best before the limit shrinks.
const TOLERANCE: f64 = 1.5;
/// A step never takes more than half of the limit.
const STEEPEST: f64 = 0.5;
/// How much of the way to its target the limit goes in a step.
const SMOOTHING: f64 = 0.3;
/// Replies in a step, whose median counts: a reader who is slow says nothing of the engine.
const WINDOW: usize = 8;
/// How long the best time is believed before it is measured anew.
const BELIEVED: Duration = Duration::from_secs(300);

/// How many requests an engine works on well.
///
/// Every eight replies, with `best` the least and `now` the latest median of what a token took: while `now` ≤ 1.5 · `best`,
/// the limit aims at its own root above itself, where it was reached; beyond that, at its 1.5 · `best` / `now`, a half at
/// least. It goes three tenths of the way there. After five minutes `best` is measured anew at half the limit: so neither
/// another model nor a neighbour who left leaves it wrong for good, and what it asks in the long run is that twice as many
/// requests bring a third more tokens.
#[derive(Debug)]
pub(super) struct Limit {
    limit: f64,
    ceiling: f64,
    best: Option<f64>,
    best_since: Instant,
    /// What the limit was before it was halved to measure, and since when that is.
    measuring: Option<(f64, Instant)>,
    window: Vec<f64>,
    reached: bool,
}

/// One reply.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sample {
    /// When the engine was given it.
    pub(super) started: Instant,
    /// Seconds for a token.
    pub(super) pace: f64,
    /// How many were under way beside it, itself among them.
    pub(super) busy: usize,
}

impl Limit {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            limit: START,
            ceiling: f64::INFINITY,
            best: None,
            best_since: now,
            measuring: None,
            window: Vec::with_capacity(WINDOW),
            reached: false,
        }
    }

    /// So many at most.
    pub(super) fn set_ceiling(&mut self, ceiling: u32) {
        self.ceiling = f64::from(ceiling.max(1));
        self.limit = self.limit.min(self.ceiling);
    }

    /// So many to begin with.
    pub(super) fn start_at(&mut self, requests: u32) {
        self.limit = f64::from(requests.max(1)).min(self.ceiling);
    }

    /// The limit, in whole requests.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "at least 1, and cut off on purpose"
    )]
    pub(super) fn get(&self) -> usize {
        self.limit as usize
    }

    /// What a token took at its best, in seconds.
    pub(super) fn best(&self) -> Option<f64> {
        self.best
    }

    /// A reply came to its end.
    pub(super) fn observe(&mut self, now: Instant, sample: Sample) {
        if self.measuring.is_some_and(|(_, since)| sample.started < since) {
            return;
        }
        self.reached |= sample.busy >= self.get();
        self.window.push(sample.pace);
        if self.window.len() >= WINDOW {
            let median = median(&mut self.window);
            let reached = std::mem::take(&mut self.reached);
            self.window.clear();
            self.step(now, median, reached);
        }
    }

    fn step(&mut self, now: Instant, pace: f64, reached: bool) {
        if let Some((before, _)) = self.measuring.take() {
            self.limit = before.min(self.ceiling);
            (self.best, self.best_since) = (Some(pace), now);
            return;
        }
        let best = self.best.filter(|best| *best <= pace).unwrap_or_else(|| {
            (self.best, self.best_since) = (Some(pace), now);
            pace
        });
        if now.duration_since(self.best_since) >= BELIEVED {
            if self.get() > 1 {
                self.measuring = Some((self.limit, now));
                self.limit = (self.limit / 2.0).max(1.0);
            } else {
                (self.best, self.best_since) = (Some(pace), now);
            }
            return;
        }
        let gradient = (TOLERANCE * best / pace).max(STEEPEST);
        let target = if gradient < 1.0 {
            self.limit * gradient
        } else if reached {
            self.limit + self.limit.sqrt()
        } else {
            self.limit
        };
        self.limit += SMOOTHING * (target - self.limit);
        self.limit = self.limit.clamp(1.0, self.ceiling);
    }
}

fn median(paces: &mut [f64]) -> f64 {
    paces.sort_by(f64::total_cmp);
    paces.get(paces.len() / 2).copied().unwrap_or_default()
}
