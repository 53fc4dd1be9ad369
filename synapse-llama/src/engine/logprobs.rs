//! Log-probabilities from raw logits: a log-softmax at temperature 1, before any sampling parameter.

/// The chosen token's log-probability, and the likeliest tokens with theirs, likeliest first.
#[derive(Debug, PartialEq)]
pub(super) struct TokenLogprobs {
    pub(super) chosen: f32,
    pub(super) top: Vec<(u32, f32)>,
}

/// Reads the log-probabilities of one position off its logits. Numbers are natural logarithms, ≤ 0.
pub(super) fn of(logits: &[f32], chosen: u32, top: usize) -> TokenLogprobs {
    let total = log_sum_exp(logits);
    let logprob = |logit: f32| (f64::from(logit) - total).min(0.0);
    let chosen = logits
        .get(chosen as usize)
        .map_or(f32::NEG_INFINITY, |&logit| narrow(logprob(logit)));
    let top = likeliest(logits, top)
        .into_iter()
        .map(|(token, logit)| (token, narrow(logprob(logit))))
        .collect();
    TokenLogprobs { chosen, top }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "a log-probability fits a float; only its last digits go"
)]
fn narrow(number: f64) -> f32 {
    number as f32
}

fn log_sum_exp(logits: &[f32]) -> f64 {
    let peak = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    // f32 is fast and right to seven digits a term; the sum of a whole vocabulary is kept in f64.
    let sum: f64 = logits
        .iter()
        .filter(|logit| !logit.is_nan())
        .map(|&logit| f64::from((logit - peak).exp()))
        .sum();
    f64::from(peak) + sum.ln()
}

/// The `count` highest logits, highest first, equals in the order of their ids.
fn likeliest(logits: &[f32], count: usize) -> Vec<(u32, f32)> {
    let mut best: Vec<(u32, f32)> = Vec::with_capacity(count + 1);
    for (token, &logit) in (0..).zip(logits) {
        let beats_last = best.last().is_none_or(|&(_, last)| logit > last);
        if logit.is_nan() || (best.len() == count && !beats_last) {
            continue;
        }
        let place = best.partition_point(|&(_, other)| other >= logit);
        best.insert(place, (token, logit));
        best.truncate(count);
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probabilities_sum_to_one_and_are_sorted() {
        let logits = [1.0, 3.0, 2.0, 3.0, f32::NEG_INFINITY];
        let all = of(&logits, 2, 5);
        let ids: Vec<u32> = all.top.iter().map(|&(id, _)| id).collect();
        assert_eq!(ids, [1, 3, 2, 0, 4]);
        let sum: f32 = all.top.iter().map(|&(_, logprob)| logprob.exp()).sum();
        assert!((sum - 1.0).abs() < 1e-6);
        assert_eq!(all.chosen, all.top[2].1);
    }

    #[test]
    fn none_asked_for_is_none_given() {
        assert!(of(&[1.0, 2.0], 0, 0).top.is_empty());
    }

    #[test]
    fn nan_is_left_out() {
        let read = of(&[f32::NAN, 0.0, 0.0], 1, 3);
        assert_eq!(read.top.len(), 2);
        assert!((read.chosen - 0.5_f32.ln()).abs() < 1e-6);
    }
}
