//! One request, as it is counted.

use std::{collections::BTreeMap, time::Duration};

use synapse_core::probe::{Claim, Pace};

use super::{ClaimTally, Tally};
use crate::pool::Outcome;

/// Codes of failures that are told apart; the rest are `other`.
const MOST_CODES: usize = 16;
/// Claims that are told apart; of the rest, each kind is one.
const MOST_CLAIMS: usize = 64;
/// Measures of a miner.
pub(super) const MOST_MEASURES: usize = 64;
/// The longest code, claim or caller in bytes: miners choose some of them.
pub(super) const LONGEST_NAME: usize = 256;
/// Who waited so long without any content, and left or was refused, would have waited longer.
const A_LONG_WAIT: Duration = Duration::from_secs(10);

/// How one request went.
pub(super) struct Entry<'a> {
    pub(super) first_content: Option<Duration>,
    pub(super) total: Duration,
    /// How much of the rest the miner was waited for.
    pub(super) waited: Duration,
    pub(super) text_bytes: u64,
    pub(super) chunks: u32,
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
                self.count_part(tally);
            }
            Outcome::Contradicted(_) => increase(&mut tally.contradicted, 1),
            Outcome::Refused(_) => {}
            Outcome::Dropped => {
                increase(&mut tally.dropped, 1);
                self.count_part(tally);
            }
        }
    }

    fn count_reply(&self, tally: &mut Tally) {
        increase(&mut tally.answered, 1);
        increase(&mut tally.output_tokens, self.text_bytes.div_ceil(4));
        let Some(first) = self.first_content else { return };
        tally.first_content_us.add(micros(first));
        let speed = self.pace(first).and_then(Pace::of_a_whole);
        speed.into_iter().for_each(|speed| tally.speed_mtps.add(speed));
    }

    /// What was seen of a reply that did not come to its end: else whoever stalls until his users leave would pay nothing.
    /// Times are at least so long, and count as if they were that.
    fn count_part(&self, tally: &mut Tally) {
        let Some(first) = self.first_content else {
            if self.total >= A_LONG_WAIT {
                tally.first_content_us.add(micros(self.total));
            }
            return;
        };
        tally.first_content_us.add(micros(first));
        let speed = self.pace(first).and_then(Pace::of_a_part);
        speed.into_iter().for_each(|speed| tally.speed_mtps.add(speed));
    }

    /// How fast it came; `None` where its client was slower: what waits to be read comes at once, however it was made.
    fn pace(&self, first: Duration) -> Option<Pace> {
        let took = self.total.saturating_sub(first);
        let pace = |rest| Pace::new(self.text_bytes, self.chunks, first, rest);
        let read_slowly = !pace(took).is_at_once() && self.waited < took / 2;
        (!read_slowly).then(|| pace(self.waited))
    }
}

/// The tally of a claim: whatever number it names, so that nobody has a clean one for each.
pub(super) fn tally_of<'a>(
    claims: &'a mut BTreeMap<String, ClaimTally>,
    claim: &Claim,
) -> &'a mut ClaimTally {
    let of = |model: &str| format!("{} {model}", claim.kind());
    let key = claim.model().map_or_else(|| claim.kind().to_owned(), of);
    let is_known = claims.contains_key(&key);
    let key = if is_known || (key.len() <= LONGEST_NAME && claims.len() < MOST_CLAIMS) {
        key
    } else {
        of("other")
    };
    claims.entry(key).or_default()
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
