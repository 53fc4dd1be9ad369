//! Randomness that is cheap, shared, and repeats from a seed.

use std::{
    hash::{BuildHasher, RandomState},
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// The longest that anything is spread around: as good as never, and far from what a clock cannot hold.
const LONGEST: Duration = Duration::from_secs(365 * 86_400);

/// SplitMix64 (Steele, Lea, Flood 2014) over a shared counter: one atomic addition a number, no lock.
#[derive(Debug)]
pub(crate) struct Random(AtomicU64);

impl Random {
    pub(crate) fn seeded(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }

    pub(crate) fn new() -> Self {
        Self::seeded(RandomState::new().hash_one(0_u8))
    }

    fn next(&self) -> u64 {
        const GAMMA: u64 = 0x9E37_79B9_7F4A_7C15;
        let mut z = self.0.fetch_add(GAMMA, Ordering::Relaxed).wrapping_add(GAMMA);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `end`; 0 where `end` is 0. The bias of the multiplication is below 2⁻³² for any real `end`.
    pub(crate) fn below(&self, end: usize) -> usize {
        let wide = u128::from(self.next()) * (end as u128);
        usize::try_from(wide >> 64).expect("the product's upper half is below end")
    }

    /// Between half of `mean` and one and a half of it, so that many who wait do not wake together. A mean above a year
    /// counts as a year.
    pub(crate) fn jittered(&self, mean: Duration) -> Duration {
        let thousandths = u32::try_from(self.below(1001)).expect("below 1001");
        let mean = mean.min(LONGEST);
        mean / 2 + mean * thousandths / 1000
    }
}
