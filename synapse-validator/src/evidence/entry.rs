//! One request, as it is counted.

use std::{collections::BTreeMap, time::Duration};

use super::Tally;
use crate::pool::Outcome;

/// Codes of failures that are told apart; the rest are `other`.
const MOST_CODES: usize = 16;
/// Claims that are told apart; the rest are `other`.
pub(super) const MOST_CLAIMS: usize = 64;
/// Measures of a miner.
pub(super) const MOST_MEASURES: usize = 64;
/// The longest code, claim or caller in bytes: miners choose some of them.
pub(super) const LONGEST_NAME: usize = 256;
/// The least text that says how fast it came: with less, one pause decides.
const LEAST_TOKENS: u64 = 8;
/// The least time that does: what comes at once was not made meanwhile.
const LEAST_MICROS: u64 = 1_000;

/// How one request went.
pub(super) struct Entry<'a> {
    pub(super) first_content: Option<Duration>,
    pub(super) total: Duration,
    pub(super) text_bytes: u64,
    pub(super) outcome: &'a Outcome,
}

impl Entry<'_> {
    pub(super) fn count_into(&self, tally: &mut Tally) {
        increase(&mut tally.asked, 1);
        match self.outcome {
            Outcome::Answered => self.count_reply(tally),
            Outcome::Failed(code) => {
                let code = bounded(&tally.failed, code.clone(), MOST_CODES);
                increase(tally.failed.entry(code).or_default(), 1);
            }
            Outcome::Refused(_) => {}
            Outcome::Dropped => increase(&mut tally.dropped, 1),
        }
    }

    fn count_reply(&self, tally: &mut Tally) {
        let tokens = self.text_bytes.div_ceil(4);
        increase(&mut tally.answered, 1);
        increase(&mut tally.output_tokens, tokens);
        let Some(first) = self.first_content else { return };
        tally.first_content_us.add(micros(first));
        let took = micros(self.total.saturating_sub(first));
        if tokens >= LEAST_TOKENS && took >= LEAST_MICROS {
            let speed = u128::from(tokens) * 1_000_000_000 / u128::from(took);
            tally.speed_mtps.add(u64::try_from(speed).unwrap_or(u64::MAX));
        }
    }
}

/// `name`, or `other` where it is too long or one too many.
pub(super) fn bounded<T>(known: &BTreeMap<String, T>, name: String, most: usize) -> String {
    if known.contains_key(&name) || (name.len() <= LONGEST_NAME && known.len() < most) {
        name
    } else {
        "other".to_owned()
    }
}

/// As much of a text as is kept.
pub(super) fn shortened(text: &str) -> String {
    text.chars().take(LONGEST_NAME).collect()
}

fn increase(count: &mut u64, by: u64) {
    *count = count.saturating_add(by);
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
