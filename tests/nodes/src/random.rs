//! Moments at random, which a seed repeats.

use std::{env, time::UNIX_EPOCH};

/// Numbers at random (xorshift64), of a seed that is printed and that the variable `SYNAPSE_SEED` sets.
#[derive(Debug)]
pub struct Random(u64);

impl Random {
    /// Of another seed each time, unless the environment says which.
    ///
    /// # Panics
    /// Where `SYNAPSE_SEED` is no number.
    #[must_use]
    pub fn seeded(of: &str) -> Self {
        let seed = number("SYNAPSE_SEED").unwrap_or_else(|| {
            let since = UNIX_EPOCH.elapsed().unwrap_or_default();
            u64::from(since.subsec_nanos()) ^ since.as_secs()
        });
        println!("{of}: SYNAPSE_SEED={seed} repeats the moments");
        // Tests that share a seed have moments of their own.
        let own = of
            .bytes()
            .fold(seed, |seed, byte| seed.rotate_left(5) ^ u64::from(byte));
        Self(own | 1)
    }

    /// One below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// How often to kill: `SYNAPSE_KILLS`, or as often as `unless` says.
///
/// # Panics
/// Where it is no number.
#[must_use]
pub fn kills(unless: u64) -> u64 {
    number("SYNAPSE_KILLS").unwrap_or(unless)
}

fn number(variable: &str) -> Option<u64> {
    env::var(variable)
        .ok()
        .map(|text| text.parse().unwrap_or_else(|_| panic!("{variable} is a number")))
}
