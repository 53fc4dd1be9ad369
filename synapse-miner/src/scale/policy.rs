//! How many replicas there should be.

use std::time::Duration;

/// How much of fewer replicas' places may be taken for one to be too many.
const ROOMY: f64 = 0.75;

/// How many replicas there should be: a pure function of what is seen, and of for how long.
///
/// One more where somebody new would wait longer than [`target_wait`](Self::target_wait), one fewer where those under way
/// fill no more than three quarters of the places that would be left, and nobody waits, for as long as
/// [`down_after`](Self::down_after). One step at a time; no further one up while the last is not ready yet. A step down
/// never calls for the next one up, since what it leaves has places free.
///
/// ```
/// use std::time::Duration;
/// use synapse_miner::scale::{Lately, Load, ScalePolicy};
///
/// let policy = ScalePolicy::between(1, 4).target_wait(Duration::from_secs(2));
/// let lately = Lately { changed: Duration::from_secs(30), calm: Duration::ZERO };
/// // Six wait before two places, and a place is taken for 1.5 s.
/// let load = Load { ready: 1, slots: 2, busy: 2, waiting: 6, service: Some(Duration::from_millis(1_500)) };
/// assert_eq!(policy.wanted(1, load, lately), 2);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScalePolicy {
    min: u32,
    max: u32,
    target_wait: Duration,
    up_after: Duration,
    down_after: Duration,
}

/// What there is to do, and who does it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Load {
    /// Replicas that answer.
    pub ready: u32,
    /// How many requests they work on at once, together.
    pub slots: u32,
    /// How many they work on.
    pub busy: u32,
    /// How many wait.
    pub waiting: u32,
    /// How long one takes on average, of late; `None` before the first ended.
    pub service: Option<Duration>,
}

/// For how long something has been so.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Lately {
    /// Since the wanted number changed.
    pub changed: Duration,
    /// Since when one replica has been [too many](ScalePolicy::is_calm) at every look; zero where it is not now.
    pub calm: Duration,
}

impl ScalePolicy {
    /// At least `min` replicas, at least one; at most `max`, at least `min`. The wait to aim at is 2 s, a step up comes 1 s
    /// after another at the soonest, one down after 60 s.
    #[must_use]
    pub fn between(min: u32, max: u32) -> Self {
        let min = min.max(1);
        Self {
            min,
            max: max.max(min),
            target_wait: Duration::from_secs(2),
            up_after: Duration::from_secs(1),
            down_after: Duration::from_secs(60),
        }
    }

    /// How long somebody new may have to wait.
    #[must_use]
    pub fn target_wait(mut self, wait: Duration) -> Self {
        self.target_wait = wait;
        self
    }

    /// How long after a change a step up may follow.
    #[must_use]
    pub fn up_after(mut self, pause: Duration) -> Self {
        self.up_after = pause;
        self
    }

    /// For how long one replica has to be too many, and how long after a change a step down may follow.
    #[must_use]
    pub fn down_after(mut self, pause: Duration) -> Self {
        self.down_after = pause;
        self
    }

    /// The fewest there may be.
    #[must_use]
    pub fn min(&self) -> u32 {
        self.min
    }

    /// The most there may be.
    #[must_use]
    pub fn max(&self) -> u32 {
        self.max
    }

    /// How many there should be where `wanted` are wanted now.
    #[must_use]
    pub fn wanted(&self, wanted: u32, load: Load, lately: Lately) -> u32 {
        let within = wanted.clamp(self.min, self.max);
        if within != wanted {
            return within;
        }
        if self.is_short(load) {
            let all_ready = load.ready >= wanted;
            let may = wanted < self.max && all_ready && lately.changed >= self.up_after;
            return wanted + u32::from(may);
        }
        let calm = self.is_calm(load) && lately.calm >= self.down_after;
        let may = wanted > self.min && calm && lately.changed >= self.down_after;
        wanted - u32::from(may)
    }

    /// Whether somebody new would wait longer than he should. Before it is known how long requests take, whether more wait
    /// than there are places.
    #[must_use]
    pub fn is_short(&self, load: Load) -> bool {
        if load.waiting == 0 {
            return false;
        }
        let service = load.service.unwrap_or(self.target_wait).as_secs_f64();
        let wait = f64::from(load.waiting) * service / f64::from(load.slots.max(1));
        wait > self.target_wait.as_secs_f64()
    }

    /// Whether one replica fewer would do.
    #[must_use]
    pub fn is_calm(&self, load: Load) -> bool {
        if load.waiting > 0 || load.ready < 2 {
            return false;
        }
        let left = f64::from(load.slots) * f64::from(load.ready - 1) / f64::from(load.ready);
        f64::from(load.busy) <= left * ROOMY
    }
}
