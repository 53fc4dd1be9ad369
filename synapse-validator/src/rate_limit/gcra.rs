//! The generic cell rate algorithm, in whole numbers.

use std::time::Duration;

use super::quota::Window;

/// The use of one window: when, at the window's rate, all that was taken will have been given back.
///
/// That moment (the *theoretical arrival time* of ITU-T I.371) is kept in nanoseconds × the window's amount, so that one
/// unit costs exactly the period and nothing is ever rounded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Bucket {
    free_at: u128,
}

/// Nanoseconds since the limiter began.
pub(super) type Nanos = u64;

impl Window {
    /// What one unit costs in its bucket: the nanoseconds in which the whole amount comes back.
    fn unit(self) -> u128 {
        self.kind.period.length().as_nanos()
    }

    /// What a full window holds, in the bucket's unit.
    pub(super) fn capacity(self) -> u128 {
        self.cost(self.amount)
    }

    pub(super) fn cost(self, units: u64) -> u128 {
        u128::from(units) * self.unit()
    }

    /// How many units `cost` is, rounded down.
    pub(super) fn units(self, cost: u128) -> u64 {
        u64::try_from(cost / self.unit()).unwrap_or(u64::MAX)
    }

    fn at(self, now: Nanos) -> u128 {
        u128::from(now) * u128::from(self.amount)
    }

    /// The time that `cost` takes to come back, rounded up to a nanosecond.
    pub(super) fn time(self, cost: u128) -> Duration {
        let nanos = cost.div_ceil(u128::from(self.amount.max(1)));
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

impl Bucket {
    /// A bucket of which so much is used.
    pub(super) fn at_level(window: Window, now: Nanos, level: u128) -> Self {
        Self {
            free_at: window.at(now) + level,
        }
    }

    /// What is used of it.
    pub(super) fn level(self, window: Window, now: Nanos) -> u128 {
        self.free_at.saturating_sub(window.at(now))
    }

    /// Gives `units` back. What came back by itself meanwhile is not given twice: a window never holds more than its
    /// amount.
    pub(super) fn give_back(&mut self, window: Window, units: u64) {
        self.free_at = self.free_at.saturating_sub(window.cost(units));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{
        super::{
            quota::{Kind, Period, Unit},
            verdict::Level,
        },
        *,
    };

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
            let after = self.level + u128::from(units) * window.unit();
            let fits = after <= u128::from(window.amount) * window.unit();
            if fits {
                self.level = after;
            }
            fits
        }

        fn give_back(&mut self, window: Window, now: Nanos, units: u64) {
            self.leak(window, now);
            self.level = self.level.saturating_sub(u128::from(units) * window.unit());
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
            let window = Window { kind: Kind { unit: Unit::Tokens, period }, amount };
            let (mut bucket, mut leaky) = (Bucket::default(), Leaky { level: 0, at: 0 });
            let mut now: Nanos = 0;
            for step in steps {
                match step {
                    Step::Take(units, pause) => {
                        now += pause;
                        let level = |now| Level::Refills(bucket.level(window, now));
                        let fits = level(now).fits(window, units);
                        prop_assert_eq!(fits, leaky.take(window, now, units));
                        if fits {
                            let after = bucket.level(window, now) + window.cost(units);
                            bucket = Bucket::at_level(window, now, after);
                        } else if units <= amount {
                            let wait = level(now).wait(window, units);
                            let wait = u64::try_from(wait.as_nanos()).unwrap();
                            prop_assert!(wait > 0);
                            prop_assert!(level(now + wait).fits(window, units), "after the wait it is there");
                            prop_assert!(!level(now + wait - 1).fits(window, units), "and no earlier");
                        }
                    }
                    Step::GiveBack(units, pause) => {
                        now += pause;
                        bucket.give_back(window, units);
                        leaky.give_back(window, now, units);
                    }
                }
                prop_assert!(Level::Refills(bucket.level(window, now)).status(window).remaining() <= amount);
            }
        }
    }
}
