//! What a score is the product of.

use std::collections::BTreeMap;

use super::{
    observed::{Middle, Observed, Rate, Sources, Z},
    settings::StandardSettings,
    traffic::Traffic,
};
use crate::{
    evidence::{ClaimTally, MinerEvidence},
    score::{Estimate, Reason},
};

/// A first content that comes so soon is as good as one that comes at once, whoever else is faster: in microseconds.
const UNNOTICED_US: f64 = 250_000.0;

/// One factor, and why it is what it is.
#[derive(Debug)]
pub(super) struct Factor {
    pub(super) estimate: Estimate,
    code: &'static str,
    text: String,
}

/// What is fast enough, by probes and by users: their prompts may be longer.
pub(super) struct Target {
    code: &'static str,
    less_is_better: bool,
    wanted: Sources<f64>,
    shown: fn(f64) -> String,
}

impl Factor {
    pub(super) fn into_reason(self) -> Reason {
        Reason::new(self.code, self.text).with_factor(self.estimate.value)
    }

    fn exact(code: &'static str, value: f64, text: String) -> Self {
        Self {
            estimate: Estimate::exact(value),
            code,
            text,
        }
    }
}

/// Nothing, of whoever broke a claim twice and in more than a fifth of its tries, or all of a kind together: else a model by
/// another name each time would do.
pub(super) fn claims(evidence: &MinerEvidence) -> Option<Factor> {
    let (mut kinds, mut all) = (BTreeMap::<&str, Kept<'_>>::new(), Kept::default());
    let mut worst: Option<(String, Kept<'_>)> = None;
    for (claim, tally) in &evidence.claims {
        let kind = claim.split(' ').next().unwrap_or(claim);
        let one = Kept::of(tally);
        kinds.entry(kind).or_default().add(one);
        all.add(one);
        if one.is_broken() && worst.as_ref().is_none_or(|(_, worst)| worst.broken < one.broken) {
            worst = Some((format!("its claim `{claim}`"), one));
        }
    }
    if all.tries == 0 {
        return None;
    }
    let of_a_kind = || {
        let (kind, kept) = kinds.iter().find(|(_, kept)| kept.is_broken())?;
        Some((format!("its claims of the kind `{kind}`, taken together"), *kept))
    };
    let Some((whose, kept)) = worst.or_else(of_a_kind) else {
        let text = format!(
            "kept what it claims in {} of {} tries",
            all.tries - all.broken,
            all.tries
        );
        return Some(Factor::exact("claims", 1.0, text));
    };
    let why = kept.why.unwrap_or("no reason is kept");
    let text = format!("broke {whose} in {} of {} tries: {why}", kept.broken, kept.tries);
    Some(Factor::exact("claims", 0.0, text))
}

/// How often claims were kept.
#[derive(Debug, Clone, Copy, Default)]
struct Kept<'a> {
    broken: u128,
    tries: u128,
    why: Option<&'a str>,
}

impl<'a> Kept<'a> {
    fn of(tally: &'a ClaimTally) -> Self {
        Self {
            broken: tally.broken.into(),
            tries: u128::from(tally.kept) + u128::from(tally.broken),
            why: tally.why.as_deref(),
        }
    }

    fn add(&mut self, other: Self) {
        self.broken += other.broken;
        self.tries += other.tries;
        self.why = other.why.or(self.why);
    }

    fn is_broken(&self) -> bool {
        self.broken >= 2 && self.broken * 5 > self.tries
    }
}

/// The part of the epoch in which it was there, by how often it was asked next to the median miner: that part itself, and all
/// of it from 0.8 on, since nobody is asked as often as the other. `None` where nobody is asked.
pub(super) fn presence(evidence: &MinerEvidence, median: u64) -> Option<Factor> {
    if median == 0 {
        return None;
    }
    let asked = evidence.probes.asked;
    let (own, others) = (asked as f64, median as f64);
    let share = own / others;
    // Meets the share at 0.6, and 1 at 0.8.
    let part = |share: f64| share.max(share * 2.0 - 0.6).clamp(0.0, 1.0);
    // From one probe to the next it is the interval and up to half of it less or more, evenly, so a count of `n` has a
    // variance of n/12, and that of where the epoch begins and ends.
    let error = Z * ((own + share * share * others) / 12.0 + 0.25).sqrt() / others;
    Some(Factor {
        estimate: Estimate {
            value: part(share),
            low: part(share - error),
            high: part(share + error),
        },
        code: "presence",
        text: format!("was asked {asked} probes, the median miner {median}"),
    })
}

/// The share of requests that were answered, by probes or by users, whichever is worse.
pub(super) fn availability(seen: &Sources<Rate>) -> Option<Factor> {
    let say = |rate: &Rate, whose: &str| {
        let mut text = format!("answered {} of {} {whose}", rate.answered, rate.of);
        if (rate.share.value - rate.answered as f64 / rate.of as f64).abs() >= 0.0005 {
            text.push_str(&format!(
                " ({:.1} % by callers' voices)",
                rate.share.value * 100.0
            ));
        }
        text
    };
    let probes = seen.probes.as_ref().map(|rate| (rate.share, say(rate, "probes")));
    let users = seen
        .users
        .as_ref()
        .map(|rate| (rate.share, say(rate, "users' requests")));
    worse("availability", probes, users)
}

impl Target {
    pub(super) fn first_content(settings: &StandardSettings, miners: &[Observed]) -> Self {
        Self {
            code: "first_content",
            less_is_better: true,
            wanted: wanted(
                settings.first_content_us,
                miners,
                |miner| &miner.first_content_us,
                |ascending| {
                    let middle = ascending.get(ascending.len().saturating_sub(1) / 2)?;
                    Some((middle * settings.tolerance).max(UNNOTICED_US))
                },
            ),
            shown: |micros| format!("{:.0} ms", micros / 1000.0),
        }
    }

    pub(super) fn speed(settings: &StandardSettings, miners: &[Observed]) -> Self {
        Self {
            code: "speed",
            less_is_better: false,
            wanted: wanted(
                settings.speed_mtps,
                miners,
                |miner| &miner.speed_mtps,
                |ascending| {
                    let middle = ascending.get(ascending.len() / 2)?;
                    Some(middle / settings.tolerance)
                },
            ),
            shown: |mtps| format!("{:.1} tokens/s", mtps / 1000.0),
        }
    }

    /// How much of the target a miner reaches, by probes or by users, whichever is worse.
    pub(super) fn reached(&self, seen: &Sources<Middle>) -> Option<Factor> {
        let part = |seen: &Option<Middle>, wanted: Option<f64>, whose: &str| {
            let (middle, wanted) = (seen.as_ref()?, wanted?);
            let text = format!(
                "{} in the median of {} {whose}, {} asked for",
                (self.shown)(middle.median.value),
                middle.of,
                (self.shown)(wanted),
            );
            Some((self.part(middle.median, wanted), text))
        };
        let probes = part(&seen.probes, self.wanted.probes, "probes");
        let users = part(&seen.users, self.wanted.users, "users' requests");
        worse(self.code, probes, users)
    }

    fn part(&self, seen: Estimate, wanted: f64) -> Estimate {
        if self.less_is_better {
            let part = |seen: f64| wanted / seen.max(wanted);
            Estimate {
                value: part(seen.value),
                low: part(seen.high),
                high: part(seen.low),
            }
        } else {
            let part = |seen: f64| (seen / wanted).min(1.0);
            Estimate {
                value: part(seen.value),
                low: part(seen.low),
                high: part(seen.high),
            }
        }
    }
}

/// From the floor, of a miner whom users never reach, to 1, of one that answers as much as the median of the others.
pub(super) fn volume(settings: &StandardSettings, traffic: &Traffic, miner: usize) -> Option<Factor> {
    let (own, others) = (traffic.of(miner), traffic.median_of_others(miner)?);
    if others.tokens <= 0.0 {
        let text = "too little users' traffic to compare".to_owned();
        return Some(Factor::exact("volume", 1.0, text));
    }
    let weight = (1.0 - settings.volume_floor) * traffic.trust;
    let part = |share: f64| 1.0 - weight * (1.0 - share.clamp(0.0, 1.0));
    let share = own.tokens / others.tokens;
    // Lengths of replies spread about as much as they are long.
    let spread = |requests: u64| 2.0 / (requests as f64).max(1.0);
    let error = Z * (spread(own.requests) + spread(others.requests)).sqrt();
    let text = format!(
        "{:.0} tokens of users' replies count, {:.0} of the median of the others",
        own.tokens, others.tokens
    );
    Some(Factor {
        estimate: Estimate {
            value: part(share),
            low: part(share * (1.0 - error)),
            high: part(share * (1.0 + error)),
        },
        code: "volume",
        text,
    })
}

/// What is set, or what `of_median` makes of the miners' medians: of two in the middle, the better one.
fn wanted(
    set: Option<u64>,
    miners: &[Observed],
    of: fn(&Observed) -> &Sources<Middle>,
    of_median: impl Fn(&[f64]) -> Option<f64>,
) -> Sources<f64> {
    let wanted = |source: fn(&Sources<Middle>) -> Option<&Middle>| {
        if let Some(set) = set {
            return Some(set as f64);
        }
        let mut medians: Vec<f64> = miners
            .iter()
            .filter_map(|miner| Some(source(of(miner))?.median.value))
            .collect();
        medians.sort_by(f64::total_cmp);
        Some(of_median(&medians)?.max(1.0))
    };
    Sources {
        probes: wanted(|seen| seen.probes.as_ref()),
        users: wanted(|seen| seen.users.as_ref()),
    }
}

/// Who answers probes well and users badly is as users see him, and who buys users as probes see him.
fn worse(
    code: &'static str,
    probes: Option<(Estimate, String)>,
    users: Option<(Estimate, String)>,
) -> Option<Factor> {
    let (estimate, text) = match (probes, users) {
        (None, None) => return None,
        (Some(one), None) | (None, Some(one)) => one,
        (Some((probes, by_probes)), Some((users, by_users))) => {
            let text = if users.value < probes.value {
                format!("{by_users}; {by_probes}")
            } else {
                format!("{by_probes}; {by_users}")
            };
            let estimate = Estimate {
                value: probes.value.min(users.value),
                low: probes.low.min(users.low),
                high: probes.high.min(users.high),
            };
            (estimate, text)
        }
    };
    Some(Factor { estimate, code, text })
}
