//! Prometheus' text format, as far as an engine's numbers need it.

/// The sum of all series of this name; `None` where there is none.
pub(super) fn sum(page: &str, name: &str) -> Option<f64> {
    let values = page.lines().filter_map(|line| value(line, name));
    values
        .reduce(|sum, value| sum + value)
        .filter(|sum| sum.is_finite())
}

/// A count that was written as a floating-point number.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a number of requests"
)]
pub(super) fn count(value: f64) -> u32 {
    value.clamp(0.0, f64::from(u32::MAX)) as u32
}

fn value(line: &str, name: &str) -> Option<f64> {
    let rest = line.strip_prefix(name)?;
    let after = match rest.strip_prefix('{') {
        Some(labels) => &labels[labels.rfind('}')? + 1..],
        None => rest.strip_prefix(' ')?,
    };
    let value: f64 = after.split_whitespace().next()?.parse().ok()?;
    value.is_finite().then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_summed_over_its_labels_and_no_other() {
        let page = "# TYPE a gauge\na 1\na{engine=\"0\",m=\"x}y\"} 2.5\na{engine=\"1\"} 3 1700000000\na_more 9\nb NaN\n";
        assert_eq!(sum(page, "a"), Some(6.5));
        assert_eq!(sum(page, "b"), None);
        assert_eq!(sum(page, "c"), None);
    }
}
