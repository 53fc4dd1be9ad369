//! Many values, in little room.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use synapse_core::Error;

/// Buckets of each doubling, and what is below it is exact.
const STEPS: u16 = 32;
const STEP_BITS: u32 = STEPS.ilog2();
/// The bucket of `u64::MAX`.
const LAST: u16 = 60 * STEPS - 1;

/// Counts of positive integers in buckets whose width grows with the value.
///
/// A value is known to 1/32 of itself, a quantile is the lower edge of its bucket. Integers only: the same values give the
/// same buckets everywhere, in whatever order they came. Counts stop at `u64::MAX`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "BTreeMap<u16, u64>", into = "BTreeMap<u16, u64>")]
pub struct Distribution(BTreeMap<u16, u64>);

impl Distribution {
    /// Counts `value` in.
    pub fn add(&mut self, value: u64) {
        self.add_many(bucket(value), 1);
    }

    /// How many values there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.values().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// The value that `per_mille` of a thousand values are at or below: 500 is the median; `None` without values.
    #[must_use]
    pub fn quantile(&self, per_mille: u32) -> Option<u64> {
        let all: u128 = self.0.values().map(|count| u128::from(*count)).sum();
        let rank = (all * u128::from(per_mille.min(1000))).div_ceil(1000).max(1);
        let mut below = 0;
        self.buckets()
            .find(|(_, count)| {
                below += u128::from(*count);
                below >= rank
            })
            .map(|(value, _)| value)
    }

    /// The lower edges of the buckets that hold values, ascending, and how many each holds.
    pub fn buckets(&self) -> impl Iterator<Item = (u64, u64)> {
        self.0.iter().map(|(bucket, count)| (lower_edge(*bucket), *count))
    }

    /// Counts all of `other` in.
    pub fn merge(&mut self, other: &Self) {
        for (bucket, count) in &other.0 {
            self.add_many(*bucket, *count);
        }
    }

    fn add_many(&mut self, bucket: u16, count: u64) {
        let held = self.0.entry(bucket).or_default();
        *held = held.saturating_add(count);
    }
}

impl TryFrom<BTreeMap<u16, u64>> for Distribution {
    type Error = Error;

    fn try_from(mut buckets: BTreeMap<u16, u64>) -> Result<Self, Error> {
        // The same values are the same bytes.
        buckets.retain(|_, count| *count > 0);
        match buckets.last_key_value() {
            Some((bucket, _)) if *bucket > LAST => Err(Error::invalid(
                "bad_evidence",
                format!("a distribution has a bucket {bucket}, and the last one is {LAST}"),
            )),
            _ => Ok(Self(buckets)),
        }
    }
}

impl From<Distribution> for BTreeMap<u16, u64> {
    fn from(distribution: Distribution) -> Self {
        distribution.0
    }
}

/// The doubling that a value is in, and its five bits below the first.
fn bucket(value: u64) -> u16 {
    let shift = (u64::BITS - value.leading_zeros()).saturating_sub(STEP_BITS + 1);
    let index = u64::from(shift) * u64::from(STEPS) + (value >> shift);
    u16::try_from(index).expect("at most LAST")
}

fn lower_edge(bucket: u16) -> u64 {
    let shift = (bucket / STEPS).saturating_sub(1);
    u64::from(bucket - shift * STEPS) << shift
}
