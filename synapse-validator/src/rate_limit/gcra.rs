//! The generic cell rate algorithm, in whole numbers.

use std::time::Duration;

use synapse_core::WindowStatus;

use super::quota::Window;

/// One caller's use of one window: when, at the window's rate, all that was taken will have been given back.
///
/// That moment (the *theoretical arrival time* of ITU-T I.371) is kept in nanoseconds × the window's amount, so that one
/// unit costs exactly the period and nothing is ever rounded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Bucket {
    free_at: u128,
}

/// Why a window gives nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Not before this long.
    Wait(Duration),
    /// More than it ever holds.
    Never,
}

/// Nanoseconds since the limiter began.
pub(super) type Nanos = u64;

impl Window {
    fn period_nanos(self) -> u128 {
        self.period.length().as_nanos()
    }

    /// What a full window holds, in the bucket's unit.
    fn capacity(self) -> u128 {
        self.cost(self.amount)
    }

    fn cost(self, units: u64) -> u128 {
        u128::from(units) * self.period_nanos()
    }

    fn at(self, now: Nanos) -> u128 {
        u128::from(now) * u128::from(self.amount)
    }

    /// The time that `cost` takes to come back, rounded up to a nanosecond.
    fn time(self, cost: u128) -> Duration {
        let nanos = cost.div_ceil(u128::from(self.amount.max(1)));
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

impl Bucket {
    fn used(self, window: Window, now: Nanos) -> u128 {
        self.free_at.saturating_sub(window.at(now))
    }

    /// Whether `units` are there.
    ///
    /// # Errors
    /// How long it takes until they are.
    pub(super) fn check(self, window: Window, now: Nanos, units: u64) -> Result<(), Refusal> {
        if units > window.amount {
            return Err(Refusal::Never);
        }
        let wanted = self.used(window, now) + window.cost(units);
        match wanted.checked_sub(window.capacity()) {
            None | Some(0) => Ok(()),
            Some(missing) => Err(Refusal::Wait(window.time(missing))),
        }
    }

    /// Takes `units` that were [checked](Bucket::check) at the same `now`.
    pub(super) fn take(&mut self, window: Window, now: Nanos, units: u64) {
        self.free_at = self.free_at.max(window.at(now)) + window.cost(units);
    }

    /// Gives `units` back. What came back by itself meanwhile is not given twice: a window never holds more than its
    /// amount.
    pub(super) fn give_back(&mut self, window: Window, units: u64) {
        self.free_at = self.free_at.saturating_sub(window.cost(units));
    }

    /// The same use of another window, in whole units: what was taken stays taken, as far as that window holds it.
    pub(super) fn moved(self, from: Option<Window>, to: Option<Window>, now: Nanos) -> Self {
        let (Some(from), Some(to)) = (from, to) else {
            return Self::default();
        };
        let units = self.used(from, now).div_ceil(from.period_nanos());
        let units = u64::try_from(units).unwrap_or(u64::MAX).min(to.amount);
        Self {
            free_at: to.at(now) + to.cost(units),
        }
    }

    pub(super) fn is_full(self, window: Window, now: Nanos) -> bool {
        self.used(window, now) == 0
    }

    pub(super) fn status(self, window: Window, now: Nanos) -> WindowStatus {
        let used = self.used(window, now);
        let left = window.capacity().saturating_sub(used) / window.period_nanos();
        WindowStatus::new(
            window.amount,
            u64::try_from(left).unwrap_or(u64::MAX),
            window.time(used),
        )
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{super::quota::Period, *};

    /// The same window as a leaky bucket, advanced step by step.
    struct Leaky {
        level: u128,
        at: Nanos,
    }

    impl Leaky {
        fn leak(&mut self, window: Window, now: Nanos) {
            let leaked = u128::from(now - self.at) * u128::from(window.amount);
            self.level = self.level.saturating_sub(leaked);
            self.at = now;
        }

        fn take(&mut self, window: Window, now: Nanos, units: u64) -> bool {
            self.leak(window, now);
            let after = self.level + u128::from(units) * window.period.length().as_nanos();
            let fits = after <= u128::from(window.amount) * window.period.length().as_nanos();
            if fits {
                self.level = after;
            }
            fits
        }

        fn give_back(&mut self, window: Window, now: Nanos, units: u64) {
            self.leak(window, now);
            self.level = self
                .level
                .saturating_sub(u128::from(units) * window.period.length().as_nanos());
        }
    }

    #[derive(Debug, Clone)]
    enum Step {
        Take(u64, Nanos),
        GiveBack(u64, Nanos),
    }

    fn step() -> impl Strategy<Value = Step> {
        let pause = prop_oneof![0..1_000_u64, 0..2_000_000_000_u64];
        (any::<bool>(), 0..12_u64, pause).prop_map(|(take, units, pause)| {
            if take {
                Step::Take(units, pause)
            } else {
                Step::GiveBack(units, pause)
            }
        })
    }

    proptest! {
        #[test]
        fn agrees_with_a_leaky_bucket_to_the_nanosecond(
            amount in 1..11_u64,
            period in prop_oneof![Just(Period::Second), Just(Period::Minute), Just(Period::Day)],
            steps in prop::collection::vec(step(), 1..60),
        ) {
            let window = Window { amount, period };
            let (mut bucket, mut leaky) = (Bucket::default(), Leaky { level: 0, at: 0 });
            let mut now: Nanos = 0;
            for step in steps {
                match step {
                    Step::Take(units, pause) => {
                        now += pause;
                        let answer = bucket.check(window, now, units);
                        prop_assert_eq!(answer.is_ok(), leaky.take(window, now, units));
                        match answer {
                            Ok(()) => bucket.take(window, now, units),
                            Err(Refusal::Never) => prop_assert!(units > amount),
                            Err(Refusal::Wait(wait)) => {
                                let wait = u64::try_from(wait.as_nanos()).unwrap();
                                prop_assert!(wait > 0);
                                prop_assert!(bucket.check(window, now + wait, units).is_ok(), "after the wait it is there");
                                prop_assert!(bucket.check(window, now + wait - 1, units).is_err(), "and no earlier");
                            }
                        }
                    }
                    Step::GiveBack(units, pause) => {
                        now += pause;
                        bucket.give_back(window, units);
                        leaky.give_back(window, now, units);
                    }
                }
                prop_assert!(bucket.status(window, now).remaining() <= amount);
            }
        }
    }
}
