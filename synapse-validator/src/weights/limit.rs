//! The cap that a chain may demand.

use synapse_core::Error;

/// Keeps it from dividing by zero, and results just below the limit.
const EPSILON: f64 = 1e-7;

/// Weights that add up to 1, none of them more than `limit`: the cap that a chain may demand (a subnet's *maximum weight
/// limit*), computed as bittensor's `normalize_max_weight` does.
///
/// What is above a cut-off is cut to it, so that the largest part of the whole is the limit, just about. All alike where
/// there are too few to stay below it, and where all are zero.
///
/// # Errors
/// `bad_weights` where a weight is negative or not finite, or the limit is not above 0 and at most 1.
pub fn limit(weights: &[f64], limit: f64) -> Result<Vec<f64>, Error> {
    if !(limit > 0.0 && limit <= 1.0) {
        return Err(Error::invalid(
            "bad_weights",
            format!("weights cannot be limited to {limit} of their sum"),
        )
        .with_hint("a limit is above 0 and at most 1"));
    }
    let sum: f64 = weights.iter().sum();
    if !sum.is_finite() || weights.iter().any(|weight| *weight < 0.0) {
        return Err(Error::invalid(
            "bad_weights",
            "a weight is negative or not finite, or their sum is not",
        )
        .with_hint("scale them to parts of 1"));
    }
    let count = weights.len() as f64;
    if sum == 0.0 || count * limit <= 1.0 {
        return Ok(vec![1.0 / count; weights.len()]);
    }
    let cut = cut_off(weights, sum, limit);
    let cut: Vec<f64> = weights.iter().map(|weight| weight.min(cut)).collect();
    let sum: f64 = cut.iter().sum();
    Ok(cut.into_iter().map(|weight| weight / sum).collect())
}

/// The weight to which larger ones are cut; infinite where none is too large.
fn cut_off(weights: &[f64], sum: f64, limit: f64) -> f64 {
    let mut parts: Vec<f64> = weights.iter().map(|weight| weight / sum).collect();
    parts.sort_by(f64::total_cmp);
    if parts.last().is_none_or(|largest| *largest <= limit) {
        return f64::INFINITY;
    }
    let (mut all, mut kept_sum, mut kept) = (0.0, 0.0, 0);
    for (at, part) in parts.iter().enumerate() {
        all += part;
        let above = (parts.len() - at - 1) as f64 * part;
        if part / (above + all + EPSILON) < limit {
            (kept_sum, kept) = (all, at + 1);
        }
    }
    let cut = (parts.len() - kept) as f64;
    (limit * kept_sum - EPSILON) / (1.0 - limit * cut) * sum
}
