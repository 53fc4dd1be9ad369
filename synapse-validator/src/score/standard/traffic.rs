//! How much of the users' traffic a miner answered, next to the others.

use super::{observed::sum, voices::level};
use crate::evidence::MinerEvidence;

/// Of a subnet with fewer answers a miner, the fewer there are the less volume counts.
const PLENTY: f64 = 16.0;
/// The traffic of all miners that were admitted.
#[derive(Debug)]
pub(super) struct Traffic {
    /// By miner, in the evidence's order.
    tokens: Vec<Answered>,
    /// Ascending by tokens, and the place of each miner in it.
    sorted: Vec<Answered>,
    places: Vec<usize>,
    /// How much volume counts: from 0, where there was no traffic but of single callers, to 1.
    pub(super) trust: f64,
}

/// What a miner answered users.
#[derive(Debug, Clone, Copy)]
pub(super) struct Answered {
    /// Tokens, each caller's as far as they count.
    pub(super) tokens: f64,
    pub(super) requests: u64,
}

impl Traffic {
    pub(super) fn new(miners: &[&MinerEvidence]) -> Self {
        // A caller who sends it all to one miner moves no median over miners.
        let levels = miners.iter().map(|miner| {
            let sent: Vec<u64> = miner.users.values().map(|tally| tally.output_tokens).collect();
            level(&sent)
        });
        let most = median(levels);
        let requests = median(miners.iter().map(|miner| of_others(miner) as f64));
        let tokens: Vec<Answered> = miners
            .iter()
            .map(|miner| Answered {
                tokens: miner
                    .users
                    .values()
                    .map(|tally| (tally.output_tokens as f64).min(most))
                    .fold(0.0, |all, tokens| all + tokens),
                requests: sum(miner.users.values().map(|tally| tally.answered)),
            })
            .collect();
        let mut order: Vec<usize> = (0..tokens.len()).collect();
        order.sort_by(|a, b| tokens[*a].tokens.total_cmp(&tokens[*b].tokens));
        let mut places = vec![0; tokens.len()];
        for (place, miner) in order.iter().enumerate() {
            places[*miner] = place;
        }
        Self {
            sorted: order.into_iter().map(|miner| tokens[miner]).collect(),
            trust: (requests / PLENTY).min(1.0),
            tokens,
            places,
        }
    }

    /// What this miner answered.
    pub(super) fn of(&self, miner: usize) -> Answered {
        self.tokens[miner]
    }

    /// What the median of the other miners answered; `None` where there is no other.
    pub(super) fn median_of_others(&self, miner: usize) -> Option<Answered> {
        let others = self.sorted.len().checked_sub(2)?;
        let middle = others / 2;
        let skipped = usize::from(middle >= self.places[miner]);
        self.sorted.get(middle + skipped).copied()
    }
}

/// How many requests a miner answered of all callers but the largest.
fn of_others(miner: &MinerEvidence) -> u64 {
    let answered = || miner.users.values().map(|tally| tally.answered);
    sum(answered()).saturating_sub(answered().max().unwrap_or(0))
}

/// The lower one of the two in the middle, where there are two.
fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len().saturating_sub(1) / 2;
    values.get(middle).copied().unwrap_or(0.0)
}
