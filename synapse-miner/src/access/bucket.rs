//! The generic cell rate algorithm, in whole numbers.

use std::time::Duration;

/// Nanoseconds since the layer was made.
pub(super) type Nanos = u64;

const MINUTE: u128 = 60_000_000_000;

/// What one caller used of an amount a minute: when, at that rate, all of it will have come back.
///
/// That moment (the *theoretical arrival time* of ITU-T I.371) is kept in nanoseconds × the amount, so that a unit costs
/// exactly a minute and nothing is ever rounded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Bucket {
    amount: u64,
    free_at: u128,
}

impl Bucket {
    /// The same where the amount is as before, else a full one of this amount.
    pub(super) fn of(self, amount: u64) -> Self {
        if self.amount == amount {
            self
        } else {
            Self { amount, free_at: 0 }
        }
    }

    fn at(self, now: Nanos) -> u128 {
        u128::from(now) * u128::from(self.amount)
    }

    /// Whether `units` are there, where a full bucket has them.
    ///
    /// # Errors
    /// How long it takes until they are.
    pub(super) fn check(self, now: Nanos, units: u64) -> Result<(), Duration> {
        let used = self.free_at.saturating_sub(self.at(now));
        let wanted = used + u128::from(units.min(self.amount)) * MINUTE;
        let missing = wanted.saturating_sub(u128::from(self.amount) * MINUTE);
        if missing == 0 {
            return Ok(());
        }
        let nanos = missing.div_ceil(u128::from(self.amount.max(1)));
        Err(Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)))
    }

    /// Takes `units` that were [checked](Self::check) at the same `now`, and says how many that were.
    pub(super) fn take(&mut self, now: Nanos, units: u64) -> u64 {
        let units = units.min(self.amount);
        self.free_at = self.free_at.max(self.at(now)) + u128::from(units) * MINUTE;
        units
    }

    /// Sets right what was [taken](Self::take) for something that used more or less; what it used more is owed.
    pub(super) fn settle(&mut self, now: Nanos, taken: u64, used: u64) {
        let cost = |units: u64| u128::from(units.min(self.amount)) * MINUTE;
        self.free_at = if used < taken {
            self.free_at.saturating_sub(cost(taken - used))
        } else {
            self.free_at.max(self.at(now)) + cost(used - taken)
        };
    }

    /// Whether nothing of it is used.
    pub(super) fn is_full(self, now: Nanos) -> bool {
        self.free_at <= self.at(now)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn never_gives_more_than_its_amount_and_what_came_back(
            amount in 1..50_u64,
            steps in prop::collection::vec((0..10_u64, 0..5_000_000_000_u64), 1..80),
        ) {
            let mut bucket = Bucket::default().of(amount);
            let (mut now, mut given) = (0_u64, 0_u64);
            for (units, pause) in steps {
                now += pause;
                match bucket.check(now, units) {
                    Ok(()) => given += bucket.take(now, units),
                    Err(wait) => {
                        let wait = u64::try_from(wait.as_nanos()).unwrap();
                        prop_assert!(bucket.check(now + wait, units).is_ok(), "after the wait it is there");
                        prop_assert!(bucket.check(now + wait - 1, units).is_err(), "and no sooner");
                    }
                }
                let back = u128::from(now) * u128::from(amount) / MINUTE;
                prop_assert!(u128::from(given) <= u128::from(amount) + back);
            }
        }
    }

    #[test]
    fn what_was_not_used_can_be_taken_again_and_what_was_used_more_is_owed() {
        let mut bucket = Bucket::default().of(10);
        assert_eq!(bucket.take(0, 25), 10, "more than all of it is all of it");
        assert!(bucket.check(0, 1).is_err());
        bucket.settle(0, 10, 6);
        assert!(bucket.check(0, 4).is_ok());
        assert!(bucket.check(0, 5).is_err());
        bucket.settle(0, 0, 9);
        assert_eq!(bucket.check(0, 1), Err(Duration::from_secs(36)));
        assert!(!bucket.is_full(0));
        assert!(bucket.of(11).is_full(0), "a limit that changes begins anew");
    }
}
