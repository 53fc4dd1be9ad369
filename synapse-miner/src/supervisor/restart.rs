//! When an engine is started again.

use std::{
    collections::VecDeque,
    hash::{BuildHasher as _, RandomState},
    time::Duration,
};

use tokio::time::Instant;

use super::EngineDeath;

/// A longer wait is none that anybody sees the end of.
pub(super) const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);
/// How often it is looked whether what keeps an engine from being begun is still there.
const LOOK: Duration = Duration::from_secs(2);

/// When an engine that died is started again: soon at first, then after ever longer pauses; and where it dies too often,
/// or cannot run as it is set up, only every few minutes, or when it is told to.
#[derive(Debug, Clone, PartialEq)]
#[must_use]
pub struct RestartPolicy {
    first: Duration,
    longest: Duration,
    failures: usize,
    within: Duration,
    slow: Duration,
}

impl Default for RestartPolicy {
    /// After 0.2 s, twice as long each time, up to 30 s; after 5 deaths within 5 minutes, every 5 minutes.
    fn default() -> Self {
        Self {
            first: Duration::from_millis(200),
            longest: Duration::from_secs(30),
            failures: 5,
            within: Duration::from_secs(300),
            slow: Duration::from_secs(300),
        }
    }
}

impl RestartPolicy {
    /// The pause after the first death, and the longest one; each has up to a quarter of it added by chance.
    pub fn backoff(mut self, first: Duration, longest: Duration) -> Self {
        (self.first, self.longest) = (first.min(LONGEST), longest.max(first).min(LONGEST));
        self
    }

    /// After so many deaths (at least one) within this time it stays down.
    pub fn crash_loop(mut self, deaths: u32, within: Duration) -> Self {
        (self.failures, self.within) = (usize::try_from(deaths.max(1)).unwrap_or(usize::MAX), within);
        self
    }

    /// How often one that stays down is tried again.
    pub fn slow(mut self, every: Duration) -> Self {
        self.slow = every.min(LONGEST);
        self
    }
}

/// The deaths of an engine.
#[derive(Debug)]
pub(super) struct Deaths {
    policy: RestartPolicy,
    recent: VecDeque<Instant>,
    /// It died too often, and did not run well since.
    looping: bool,
    chance: RandomState,
    drawn: u64,
}

/// What comes after a death.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pause {
    pub(super) wait: Duration,
    /// It died so often that it stays down.
    pub(super) crash_loop: bool,
}

impl Deaths {
    pub(super) fn new(policy: RestartPolicy) -> Self {
        Self {
            policy,
            recent: VecDeque::new(),
            looping: false,
            chance: RandomState::new(),
            drawn: 0,
        }
    }

    /// It died so, now.
    pub(super) fn died(&mut self, now: Instant, death: &EngineDeath) -> Pause {
        if death.not_begun {
            return Pause {
                wait: LOOK,
                crash_loop: false,
            };
        }
        self.looping &= death.ran < self.policy.within;
        while self
            .recent
            .front()
            .is_some_and(|death| now.duration_since(*death) > self.policy.within)
        {
            self.recent.pop_front();
        }
        self.recent.push_back(now);
        if self.recent.len() >= self.policy.failures {
            self.looping = true;
            self.recent.pop_front();
        }
        let wait = if death.hopeless || self.looping {
            self.policy.slow
        } else {
            let doublings = u32::try_from(self.recent.len().saturating_sub(1)).unwrap_or(u32::MAX);
            let factor = 2_u32.checked_pow(doublings).unwrap_or(u32::MAX);
            self.policy.first.saturating_mul(factor).min(self.policy.longest)
        };
        Pause {
            wait: wait + self.chance_of(wait / 4),
            crash_loop: self.looping && !death.hopeless,
        }
    }

    /// Somebody wants it tried as if nothing had been.
    pub(super) fn forget(&mut self) {
        self.recent.clear();
        self.looping = false;
    }

    /// Anything up to `most`.
    fn chance_of(&mut self, most: Duration) -> Duration {
        self.drawn += 1;
        let thousandths = u32::try_from(self.chance.hash_one(self.drawn) % 1000).unwrap_or_default();
        most * thousandths / 1000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// It dies after that many seconds.
    fn died(deaths: &mut Deaths, ran: u64) -> Pause {
        let mut death = EngineDeath::new(&"engine".into(), "engine_killed", "was killed");
        death.ran = seconds(ran);
        deaths.died(Instant::now(), &death)
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_double_up_to_the_longest_and_a_quarter_of_chance() {
        let policy = RestartPolicy::default()
            .backoff(seconds(1), seconds(6))
            .crash_loop(10, seconds(600));
        let mut deaths = Deaths::new(policy);
        for expected in [1, 2, 4, 6, 6] {
            let Pause { wait, crash_loop } = died(&mut deaths, 0);
            let expected = seconds(expected);
            assert!(
                !crash_loop && wait >= expected && wait <= expected * 5 / 4,
                "{wait:?}"
            );
            tokio::time::advance(wait).await;
        }
        tokio::time::advance(seconds(601)).await;
        assert!(died(&mut deaths, 0).wait < seconds(2), "it ran well for long");
    }

    #[tokio::test(start_paused = true)]
    async fn an_engine_that_dies_too_often_stays_down_and_is_tried_slowly() {
        let policy = RestartPolicy::default()
            .crash_loop(3, seconds(60))
            .slow(seconds(120));
        let mut deaths = Deaths::new(policy);
        assert!(!died(&mut deaths, 0).crash_loop);
        assert!(!died(&mut deaths, 0).crash_loop);
        let third = died(&mut deaths, 0);
        assert!(third.crash_loop && third.wait >= seconds(120));
        assert!(died(&mut deaths, 0).crash_loop, "and again at once");
        tokio::time::advance(seconds(120)).await;
        assert!(died(&mut deaths, 0).crash_loop, "it did not run well since");
        tokio::time::advance(seconds(120)).await;
        assert!(!died(&mut deaths, 100).crash_loop, "it ran well since");
        died(&mut deaths, 0);
        deaths.forget();
        assert!(!died(&mut deaths, 0).crash_loop, "somebody wanted it tried");
    }

    #[tokio::test(start_paused = true)]
    async fn what_cannot_run_as_it_is_set_up_is_tried_slowly_from_the_first_time() {
        let mut deaths = Deaths::new(RestartPolicy::default().slow(seconds(60)));
        let death = EngineDeath::new(&"engine".into(), "model_unreadable", "cannot read its model");
        let Pause { wait, crash_loop } = deaths.died(Instant::now(), &death.hopeless());
        assert!(wait >= seconds(60) && !crash_loop);
    }
}
