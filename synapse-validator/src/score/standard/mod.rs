//! The policy of a subnet that has none of its own.

mod factors;
mod observed;
mod settings;
mod traffic;
mod voices;

pub use self::settings::StandardSettings;
use self::{
    factors::{Factor, Target},
    observed::Observed,
    traffic::Traffic,
};
use super::{Estimate, Reason, Score, ScorePolicy, Scores};
use crate::evidence::{EpochEvidence, MinerEvidence};

/// The policy of a subnet that has none of its own.
///
/// A score is a product of factors from 0 to 1, each of which is a [`Reason`] with the numbers it was made of, the lowest
/// first:
///
/// - `presence`: the probes that it was asked ÷ those of the median miner; 1 from 0.8 on, and from 0.6 on it rises to that. So
///   who comes late, leaves early, or takes another key earns his part of the epoch, and who hangs, so that fewer probes fit,
///   gains nothing by it.
/// - `claims`: 0 of a miner that broke one of its claims, or its claims of one kind together, at least twice and in more than
///   a fifth of the tries.
/// - `availability`: the share of requests that were answered of those that were answered or failed. What clients did not
///   wait for, and what was refused as the caller's fault, is neither. Where another miner answered what was refused, it
///   is a failure only of a miner that refused two of this validator's probes as well: of anybody else, he who sends what is
///   truly wrong, and has it answered by his own miner, could say so.
/// - `first_content`: target ÷ the median time to the first content, `speed`: the median speed ÷ target, each at most 1.
///   The target is a setting, or the median of the subnet's miners with a tolerance; for a first content never less than
///   250 ms, which nobody notices. A request whose client left counts as far as it came: a wait of ten seconds and more
///   without content as a first content after as long, and what came as the speed so far. So stalling until users leave is
///   seen, and what a client takes to read is no time of the miner's.
/// - `volume`: from the floor to 1, as the tokens of users' replies are to the median of the other miners', and nothing
///   more for more than that. Where the median miner has fewer than 16 replies to callers other than its largest, it counts
///   less, and where it has fewer than eleven callers, not at all.
///
/// The interval of a score is the product of the factors' intervals: Wilson's of a share, that of the ranks of a median. It
/// is wide enough that another validator's score of the same miners, of as much evidence of its own, is within it in 95 of
/// 100 cases where users' traffic was seen, and in some 90 of 100 where there were probes alone: the error of the median
/// that miners are compared with is not in it.
///
/// # Why buying one's own traffic never pays
/// A caller may be a miner himself, and can send anything that he answers well.
///
/// 1. *Probes are the ceiling.* Of what probes and users saw, the worse one counts, from where users' evidence tells as much
///    as 8 requests. So users' evidence can lower availability, first content and speed, and however much of it was bought
///    cannot raise them above what probes, which look like users' requests, have shown.
/// 2. *One caller is one of many.* At each miner no caller has more than a tenth of the say of all others together, or where
///    there are fewer than eleven callers, each is one voice. A caller who joins `n` others takes at most max(1/11, 1/(n+1))
///    of the say, whatever he sends, and `k` of his keys at most max(k/11, k/(n+k)). By that much at most he covers up how
///    users see him; a median moves by that many ranks.
/// 3. *Volume is relative, and capped.* A caller's tokens count at most a tenth of what the median miner answered all others
///    together. What a balancer spreads over all miners moves nothing, since all of them have it. If all of it reached the
///    buyer's own miner, which a balancer does not let him choose, it would be worth a tenth of the way from the floor to 1:
///    about 0.05 of a factor, with the default floor. Beyond the median it is worth nothing.
///
/// Of one caller's traffic the tests draw 400 fleets of 4 to 20 miners, with ten and more other callers: if it all reaches his
/// own miner, his part of the subnet's weight grows by 4 points of 100 at most, and by less than 1 on average. If a balancer
/// spreads it, it grows by nothing on average, with however few other callers, and by 1.5 points at most.
///
/// What it cannot stop are many keys: ten of them, each sending as much as a large user, fill volume up to 1, and cover up
/// what users see up to what probes show. Where keys cost nothing, set [`volume_floor`](StandardSettings::volume_floor) to
/// 1. Nor can it tell a buyer from a user where there is no probe and one of the two is alone.
///
/// # No opinion
/// A miner that was not admitted (`not_admitted`), or of which too little was seen (`too_little_evidence`): each probe is
/// one observation, and each caller has its voice. Nor of one that was never asked a probe while others were
/// (`not_probed`), as one whose claims give nothing to ask: by users alone, bought traffic would have no ceiling.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct StandardPolicy {
    settings: StandardSettings,
}

impl StandardPolicy {
    /// The policy with settings of your own.
    #[must_use]
    pub fn new(settings: StandardSettings) -> Self {
        Self { settings }
    }
}

impl ScorePolicy for StandardPolicy {
    fn name(&self) -> &str {
        "standard"
    }

    fn version(&self) -> u32 {
        1
    }

    fn score(&self, evidence: &EpochEvidence) -> Scores {
        let (refused, admitted): (Vec<&MinerEvidence>, Vec<_>) =
            evidence.miners.iter().partition(|miner| miner.refused.is_some());
        let seen: Vec<Observed> = admitted.iter().map(|miner| Observed::new(miner)).collect();
        let fleet = Fleet {
            first_content: Target::first_content(&self.settings, &seen),
            speed: Target::speed(&self.settings, &seen),
            traffic: Traffic::new(&admitted),
            asked: median_asked(&admitted),
        };
        let judged = admitted.iter().zip(&seen).enumerate();
        let judged = judged.map(|(at, (miner, seen))| self.judge(miner, seen, &fleet, at));
        Scores::new(judged.chain(refused.into_iter().map(not_admitted)))
    }
}

/// What a miner is compared with.
struct Fleet {
    first_content: Target,
    speed: Target,
    traffic: Traffic,
    /// Probes of the median miner, of those that were asked any.
    asked: u64,
}

impl StandardPolicy {
    fn judge(&self, evidence: &MinerEvidence, seen: &Observed, fleet: &Fleet, at: usize) -> Score {
        let least = self.settings.least_observations;
        if seen.observations < least as f64 {
            let text = format!(
                "{:.1} observations, it takes {least} for an opinion",
                seen.observations
            );
            return Score::no_opinion(evidence.miner.clone(), Reason::new("too_little_evidence", text));
        }
        if fleet.asked > 0 && evidence.probes.asked == 0 {
            let text = "it was asked no probe in this epoch, and others were".to_owned();
            return Score::no_opinion(evidence.miner.clone(), Reason::new("not_probed", text));
        }
        let mut factors: Vec<Factor> = [
            factors::claims(evidence),
            factors::availability(&seen.answered),
            fleet.first_content.reached(&seen.first_content_us),
            fleet.speed.reached(&seen.speed_mtps),
            factors::presence(evidence, fleet.asked),
            factors::volume(&self.settings, &fleet.traffic, at),
        ]
        .into_iter()
        .flatten()
        .collect();
        let product = |part: fn(&Estimate) -> f64| {
            factors
                .iter()
                .fold(1.0, |product, factor| product * part(&factor.estimate))
        };
        let estimate = Estimate {
            value: product(|estimate| estimate.value),
            low: product(|estimate| estimate.low),
            high: product(|estimate| estimate.high),
        };
        factors.sort_by(|a, b| a.estimate.value.total_cmp(&b.estimate.value));
        let reasons = factors.into_iter().map(Factor::into_reason).collect();
        Score::new(evidence.miner.clone(), estimate, reasons)
    }
}

fn not_admitted(evidence: &MinerEvidence) -> Score {
    let why = evidence.refused.clone().unwrap_or_default();
    Score::no_opinion(evidence.miner.clone(), Reason::new("not_admitted", why))
}

/// Of two in the middle, the one that was asked more; 0 where nobody was asked.
fn median_asked(miners: &[&MinerEvidence]) -> u64 {
    let asked = miners.iter().map(|miner| miner.probes.asked);
    let mut asked: Vec<u64> = asked.filter(|asked| *asked > 0).collect();
    asked.sort_unstable();
    asked.get(asked.len() / 2).copied().unwrap_or(0)
}
