//! Prometheus' text format, as far as engines write it.

/// The values of a page of metrics. Lines that are none are passed over.
pub(super) struct Samples<'a>(&'a str);

impl<'a> Samples<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self(text)
    }

    /// The sum of what has this name, whatever its labels.
    pub(super) fn sum(&self, name: &str) -> Option<f64> {
        self.of(name).reduce(|sum, value| sum + value)
    }

    /// The greatest of what has this name.
    pub(super) fn most(&self, name: &str) -> Option<f64> {
        self.of(name).reduce(f64::max)
    }

    fn of<'b>(&self, name: &'b str) -> impl Iterator<Item = f64> + use<'a, 'b> {
        self.0.lines().filter_map(move |line| {
            let rest = line.strip_prefix(name)?;
            let values = match rest.strip_prefix('{') {
                // A label's value may hold any character, but the last brace ends the labels.
                Some(labels) => labels.rsplit_once('}')?.1,
                None => rest.starts_with([' ', '\t']).then_some(rest)?,
            };
            let value: f64 = values.split_ascii_whitespace().next()?.parse().ok()?;
            value.is_finite().then_some(value)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_by_their_whole_name_and_summed_over_labels() {
        let page = "# HELP a:b what\n# TYPE a:b gauge\na:b{engine=\"0\",model=\"x}y\"} 2.0\na:b{engine=\"1\"} 3 1700000000\n\
                    a:bc 9\na 7\nnan NaN\nbroken{\nbroken{} x\n";
        let samples = Samples::new(page);
        assert_eq!(samples.sum("a:b"), Some(5.0));
        assert_eq!(samples.most("a:b"), Some(3.0));
        assert_eq!(samples.sum("a"), Some(7.0));
        for missing in ["nan", "broken", "b", ""] {
            assert_eq!(samples.sum(missing), None, "{missing}");
        }
    }
}
