//! Miners as they truly are, and what a validator would see of them.

use synapse_core::{BlockNumber, CallerId, EpochId, NodeId, SubnetId};
use synapse_validator::{
    ScorePolicy,
    evidence::{EpochEvidence, MinerEvidence, Tally},
    score::Score,
    weights,
};

/// A generator that a seed repeats (splitmix64).
#[derive(Debug, Clone)]
pub(crate) struct Dice(pub(crate) u64);

/// A miner as it truly is.
#[derive(Debug, Clone)]
pub(crate) struct True {
    pub(crate) answers_probes: f64,
    pub(crate) answers_users: f64,
    pub(crate) first_content_ms: f64,
    pub(crate) tokens_per_second: f64,
}

impl Dice {
    pub(crate) fn part(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    pub(crate) fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.part()
    }

    pub(crate) fn count(&mut self, low: u64, high: u64) -> u64 {
        whole(self.between(low as f64, high as f64 + 1.0)).min(high)
    }

    /// Around 1, skewed as times are: about a third up and down.
    fn jitter(&mut self) -> f64 {
        let normal: f64 = (0..12).map(|_| self.part()).sum::<f64>() - 6.0;
        (normal * 0.3).exp()
    }
}

impl True {
    pub(crate) fn good() -> Self {
        Self {
            answers_probes: 0.99,
            answers_users: 0.99,
            first_content_ms: 300.0,
            tokens_per_second: 60.0,
        }
    }

    /// One of any kind.
    pub(crate) fn any(dice: &mut Dice) -> Self {
        let answers = dice.between(0.6, 1.0);
        Self {
            answers_probes: answers,
            answers_users: answers,
            first_content_ms: dice.between(100.0, 900.0),
            tokens_per_second: dice.between(20.0, 120.0),
        }
    }

    fn request(&self, answers: f64, dice: &mut Dice, tally: &mut Tally) {
        tally.asked += 1;
        if dice.part() >= answers {
            *tally.failed.entry("timeout".into()).or_default() += 1;
            return;
        }
        tally.answered += 1;
        tally.output_tokens += whole(100.0 * dice.jitter());
        tally
            .first_content_us
            .add(whole(1000.0 * self.first_content_ms * dice.jitter()));
        tally
            .speed_mtps
            .add(whole(1000.0 * self.tokens_per_second * dice.jitter()));
    }

    pub(crate) fn probed(&self, times: u64, dice: &mut Dice, evidence: &mut MinerEvidence) {
        for _ in 0..times {
            self.request(self.answers_probes, dice, &mut evidence.probes);
        }
    }

    pub(crate) fn used(&self, caller: &str, dice: &mut Dice, evidence: &mut MinerEvidence) {
        let tally = evidence.users.entry(CallerId::from(caller)).or_default();
        self.request(self.answers_users, dice, tally);
    }
}

pub(crate) fn name(miner: usize) -> NodeId {
    NodeId::from(format!("miner-{miner:05}"))
}

pub(crate) fn nothing(miners: usize) -> EpochEvidence {
    let mut evidence = EpochEvidence::new(SubnetId(7), NodeId::from("validator"), EpochId(1), BlockNumber(1));
    evidence.miners = (0..miners).map(|miner| MinerEvidence::new(name(miner))).collect();
    evidence
}

/// What a validator sees that probes each miner so often, and spreads its callers' requests evenly.
pub(crate) fn observe(fleet: &[True], probes: u64, callers: &[u64], dice: &mut Dice) -> EpochEvidence {
    let mut evidence = nothing(fleet.len());
    for (miner, seen) in fleet.iter().zip(&mut evidence.miners) {
        miner.probed(probes, dice, seen);
    }
    for (caller, requests) in callers.iter().enumerate() {
        for _ in 0..*requests {
            let at = usize::try_from(dice.count(0, fleet.len() as u64 - 1)).unwrap();
            fleet[at].used(&format!("caller-{caller}"), dice, &mut evidence.miners[at]);
        }
    }
    evidence
}

/// One miner's score.
pub(crate) fn score(policy: &dyn ScorePolicy, evidence: &EpochEvidence, miner: usize) -> Score {
    let scores = policy.score(evidence);
    scores.check(evidence).unwrap();
    scores.get(&name(miner)).unwrap().clone()
}

/// One miner's part of all weight.
pub(crate) fn share(policy: &dyn ScorePolicy, evidence: &EpochEvidence, miner: usize) -> f64 {
    let Ok(weights) = weights::emit(&policy.score(evidence)) else {
        return 0.0;
    };
    let all: f64 = weights
        .as_slice()
        .iter()
        .map(|weight| f64::from(weight.value))
        .sum();
    let own = weights
        .as_slice()
        .iter()
        .find(|weight| weight.node == name(miner));
    own.map_or(0.0, |weight| f64::from(weight.value) / all)
}

/// A factor of a score; 1 where there is none.
pub(crate) fn factor(score: &Score, code: &str) -> f64 {
    let reason = score.reasons.iter().find(|reason| reason.code == code);
    reason.and_then(|reason| reason.factor).unwrap_or(1.0)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "small and positive"
)]
fn whole(value: f64) -> u64 {
    value as u64
}
