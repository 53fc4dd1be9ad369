//! How much each caller's requests count: a caller may be the miner himself.

/// One caller's say counts at most this part of all the others' together.
const PART: u64 = 10;

/// How much of what each caller sent counts, all of it at most.
///
/// All are cut to one level: the highest at which each counts at most a tenth of all others together, as these are counted
/// themselves. Where no level does that, with fewer than eleven callers, each is one voice. So of `n` callers one has at most
/// max(1/11, 1/n) of the say, and one who joins takes that much from the others and gives none of them more.
pub(super) fn voices(sent: &[u64]) -> Vec<f64> {
    let level = level(sent).max(1.0);
    sent.iter().map(|sent| (*sent as f64).min(level)).collect()
}

/// The highest level at which each counts at most a tenth of all others together; 0 with fewer than eleven callers.
///
/// That is the greatest `l` with `11 l ≤ Σ min(sent, l)`. The sum is concave in `l`, so from above the first segment that
/// fits is it.
pub(super) fn level(sent: &[u64]) -> f64 {
    let mut sorted = sent.to_vec();
    sorted.sort_unstable();
    let mut below: u128 = sorted.iter().map(|sent| u128::from(*sent)).sum();
    let parts = u128::from(PART) + 1;
    // `above` callers are cut, the rest counts in full.
    for (above, top) in (0_u128..).zip(sorted.iter().rev()) {
        if above >= parts {
            break;
        }
        // Cut above it, the level is what all of the rest is worth for each part that is left.
        if u128::from(*top) * (parts - above) <= below {
            return below as f64 / (parts - above) as f64;
        }
        below -= u128::from(*top);
    }
    0.0
}

/// As many observations as tell as much as those of all callers do, each weighed by its voice.
pub(super) fn effective(sent: &[u64], voices: &[f64]) -> f64 {
    let mut sum = 0.0;
    let mut spread = 0.0;
    for (sent, voice) in sent.iter().zip(voices).filter(|(sent, _)| **sent > 0) {
        sum += voice;
        spread += voice * voice / *sent as f64;
    }
    if spread > 0.0 { sum * sum / spread } else { 0.0 }
}
