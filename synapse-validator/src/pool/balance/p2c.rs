//! The better of two.

use super::{Balance, Candidates, Load, Meter};
use crate::pool::random::Random;

/// Draws before the rest is searched one by one: with half of the members closed, one search in 2¹⁶.
const DRAWS: usize = 16;

/// Power of two choices: of two members at random the less loaded one.
///
/// Takes the same time for ten members as for ten thousand, and does not send every gateway to the same best member
/// (Mitzenmacher 2001). Asks for at most two loads a choice.
#[derive(Debug)]
pub struct P2c<L> {
    load: L,
    random: Random,
}

impl<L: Load> P2c<L> {
    /// Compares members by `load`.
    pub fn new(load: L) -> Self {
        Self {
            load,
            random: Random::new(),
        }
    }

    /// The same with choices that repeat: for tests.
    #[must_use]
    pub fn seeded(mut self, seed: u64) -> Self {
        self.random = Random::seeded(seed);
        self
    }

    /// An open candidate at random, other than `besides`.
    fn draw(&self, candidates: &Candidates<'_>, besides: Option<usize>) -> Option<usize> {
        let fits = |index: &usize| Some(*index) != besides && candidates.is_open(*index);
        let drawn = (0..DRAWS).map(|_| self.random.below(candidates.len())).find(fits);
        drawn.or_else(|| {
            let start = self.random.below(candidates.len());
            (start..candidates.len()).chain(0..start).find(fits)
        })
    }
}

impl<L: Load> Balance for P2c<L> {
    fn meter(&self) -> Box<dyn Meter> {
        self.load.meter()
    }

    fn pick(&self, candidates: &Candidates<'_>) -> Option<usize> {
        if candidates.is_empty() {
            return None;
        }
        let one = self.draw(candidates, None)?;
        let Some(other) = self.draw(candidates, Some(one)) else {
            return Some(one);
        };
        Some(if candidates.load(other) < candidates.load(one) {
            other
        } else {
            one
        })
    }
}
