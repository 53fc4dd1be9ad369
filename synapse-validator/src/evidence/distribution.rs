//! Many values, in little room.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Counts of positive integers in buckets whose width grows with the value.
///
/// A value is known to 1/32 of itself, a quantile is the lower edge of its bucket. Integers only: the same values give the
/// same buckets everywhere, in whatever order they came.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Distribution(BTreeMap<u16, u64>);

impl Distribution {
    /// Counts `value` in.
    pub fn add(&mut self, value: u64) {
        let _ = value;
    }

    /// How many values there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.values().sum()
    }

    /// The value that `per_mille` of a thousand values are at or below: 500 is the median; `None` without values.
    #[must_use]
    pub fn quantile(&self, per_mille: u32) -> Option<u64> {
        let _ = per_mille;
        None
    }

    /// Counts all of `other` in.
    pub fn merge(&mut self, other: &Self) {
        let _ = other;
    }
}
