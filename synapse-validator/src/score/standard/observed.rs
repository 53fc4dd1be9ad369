//! What was seen of one miner, by probes and by users.

use super::voices::{effective, voices};
use crate::{
    evidence::{Distribution, MinerEvidence, Tally},
    score::Estimate,
};

/// Users' evidence counts from where it tells as much as this many requests of one caller.
const ENOUGH: f64 = 8.0;
/// From so many probes on that it refused as its caller's fault, a miner's refusals of users' requests that another miner
/// contradicted are failures as well.
const TO_BE_DISBELIEVED: u64 = 2;
/// How many standard deviations an interval reaches: 1.96 × √2, since another validator's estimate errs as well.
pub(super) const Z: f64 = 2.77;

/// What was seen of one miner.
#[derive(Debug)]
pub(super) struct Observed {
    /// How much there is: each probe is one, and each caller has its voice.
    pub(super) observations: f64,
    pub(super) answered: Sources<Rate>,
    pub(super) first_content_us: Sources<Middle>,
    pub(super) speed_mtps: Sources<Middle>,
}

/// The same, seen by probes and by users; `None` of what there is too little of.
#[derive(Debug)]
pub(super) struct Sources<T> {
    pub(super) probes: Option<T>,
    pub(super) users: Option<T>,
}

/// How many requests were answered of those that were answered or failed.
#[derive(Debug)]
pub(super) struct Rate {
    pub(super) answered: u64,
    pub(super) of: u64,
    pub(super) share: Estimate,
}

/// A median.
#[derive(Debug)]
pub(super) struct Middle {
    pub(super) of: u64,
    pub(super) median: Estimate,
}

impl Observed {
    pub(super) fn new(evidence: &MinerEvidence) -> Self {
        let users: Vec<&Tally> = evidence.users.values().collect();
        let refuses = evidence.probes.contradicted >= TO_BE_DISBELIEVED;
        let decided = |tally: &Tally| {
            let more = if refuses { tally.contradicted } else { 0 };
            tally.decided().saturating_add(more)
        };
        let counted: Vec<u64> = users.iter().map(|tally| decided(tally)).collect();
        let said: f64 = voices(&counted).iter().sum();
        let probed = rate(&[&evidence.probes], Tally::decided, 0.0);
        // Whoever is not probed is as users see him, few as they may be.
        let enough = if probed.is_some() { ENOUGH } else { 0.0 };
        Self {
            observations: evidence.probes.decided() as f64 + said,
            answered: Sources {
                users: rate(&users, decided, enough),
                probes: probed,
            },
            first_content_us: medians(evidence, &users, |tally| &tally.first_content_us),
            speed_mtps: medians(evidence, &users, |tally| &tally.speed_mtps),
        }
    }
}

/// The share that was answered, each caller by its voice.
fn rate(tallies: &[&Tally], decided: impl Fn(&Tally) -> u64, enough: f64) -> Option<Rate> {
    let decided: Vec<u64> = tallies.iter().map(|tally| decided(tally)).collect();
    let voices = voices(&decided);
    let told = effective(&decided, &voices);
    if told <= 0.0 || told < enough {
        return None;
    }
    let (mut answered, mut all) = (0.0, 0.0);
    for ((tally, decided), voice) in tallies.iter().zip(&decided).zip(&voices) {
        if *decided > 0 {
            answered += voice * (tally.answered as f64 / *decided as f64);
            all += voice;
        }
    }
    Some(Rate {
        answered: sum(tallies.iter().map(|tally| tally.answered)),
        of: sum(decided.iter().copied()),
        share: wilson((answered / all).min(1.0), told),
    })
}

fn medians(
    evidence: &MinerEvidence,
    users: &[&Tally],
    of: impl Fn(&Tally) -> &Distribution,
) -> Sources<Middle> {
    let probes = middle(&[of(&evidence.probes)], 0.0);
    let enough = if probes.is_some() { ENOUGH } else { 0.0 };
    let users: Vec<&Distribution> = users.iter().map(|tally| of(tally)).collect();
    Sources {
        users: middle(&users, enough),
        probes,
    }
}

/// The median, each caller by its voice, and between which ranks it lies.
fn middle(distributions: &[&Distribution], enough: f64) -> Option<Middle> {
    let counts: Vec<u64> = distributions.iter().map(|values| values.count()).collect();
    let voices = voices(&counts);
    let told = effective(&counts, &voices);
    if told <= 0.0 || told < enough {
        return None;
    }
    let mut weighed = Vec::<(u64, f64)>::new();
    for ((values, count), voice) in distributions.iter().zip(&counts).zip(&voices) {
        let weight = voice / *count as f64;
        weighed.extend(
            values
                .buckets()
                .map(|(value, held)| (value, weight * held as f64)),
        );
    }
    // Stable, so that the sums below are added in one order.
    weighed.sort_by_key(|(value, _)| *value);
    let all: f64 = weighed.iter().map(|(_, weight)| weight).sum();
    let at = |rank: f64| {
        let mut below = 0.0;
        weighed
            .iter()
            .find(|(_, weight)| {
                below += weight;
                below >= all * rank
            })
            .or(weighed.last())
            .map_or(0.0, |(value, _)| *value as f64)
    };
    let half = Z * 0.5 / told.sqrt();
    // A bucket is up to 1/32 wide, and a handful of values say little of what lies beyond them.
    let slack = if told < 6.0 { 2.0 } else { 33.0 / 32.0 };
    Some(Middle {
        of: sum(counts.iter().copied()),
        median: Estimate {
            value: at(0.5),
            low: at(0.5 - half) / slack,
            high: at(0.5 + half) * slack,
        },
    })
}

/// Wilson's interval of a share that was seen in `of` tries (E. B. Wilson, 1927), around the share itself.
fn wilson(share: f64, of: f64) -> Estimate {
    let z2 = Z * Z / of;
    let centre = (share + z2 / 2.0) / (1.0 + z2);
    let half = Z * (share * (1.0 - share) / of + z2 / (4.0 * of)).sqrt() / (1.0 + z2);
    Estimate {
        value: share,
        low: (centre - half).max(0.0).min(share),
        high: (centre + half).min(1.0).max(share),
    }
}

pub(super) fn sum(counts: impl Iterator<Item = u64>) -> u64 {
    counts.fold(0, u64::saturating_add)
}
