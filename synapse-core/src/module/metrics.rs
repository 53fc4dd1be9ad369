//! What a module counts.

use std::{borrow::Cow, collections::BTreeMap};

/// What a module counted: named values with labels, ready to be rendered for Prometheus.
///
/// ```
/// use synapse_core::MetricsData;
/// let mut metrics = MetricsData::default();
/// metrics.counter("queue.refused", 3);
/// metrics.gauge_of("queue.waiting", &[("lane", "chat")], 7.0);
/// assert_eq!(metrics.get("queue.refused", &[]), Some(3.0));
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MetricsData {
    values: BTreeMap<Metric, (MetricKind, f64)>,
}

/// A value's name and labels, sorted by label.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Metric {
    name: Cow<'static, str>,
    labels: Vec<(Cow<'static, str>, String)>,
}

/// How a value behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MetricKind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
}

impl Metric {
    /// The name, dotted: `queue.refused`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The labels, sorted.
    pub fn labels(&self) -> impl Iterator<Item = (&str, &str)> {
        self.labels
            .iter()
            .map(|(label, value)| (&**label, value.as_str()))
    }
}

impl MetricsData {
    /// Adds to a counter without labels.
    #[expect(clippy::cast_precision_loss, reason = "a metric past 2^53 may be off by one")]
    pub fn counter(&mut self, name: impl Into<Cow<'static, str>>, value: u64) {
        self.add(name.into(), &[], MetricKind::Counter, value as f64);
    }

    /// Adds to a counter with labels.
    #[expect(clippy::cast_precision_loss, reason = "a metric past 2^53 may be off by one")]
    pub fn counter_of(
        &mut self,
        name: impl Into<Cow<'static, str>>,
        labels: &[(&'static str, &str)],
        value: u64,
    ) {
        self.add(name.into(), labels, MetricKind::Counter, value as f64);
    }

    /// Adds to a counter of what is no whole number, such as seconds.
    pub fn counter_f64(&mut self, name: impl Into<Cow<'static, str>>, value: f64) {
        self.add(name.into(), &[], MetricKind::Counter, value);
    }

    /// Adds to a gauge without labels.
    pub fn gauge(&mut self, name: impl Into<Cow<'static, str>>, value: f64) {
        self.add(name.into(), &[], MetricKind::Gauge, value);
    }

    /// Adds to a gauge with labels.
    pub fn gauge_of(
        &mut self,
        name: impl Into<Cow<'static, str>>,
        labels: &[(&'static str, &str)],
        value: f64,
    ) {
        self.add(name.into(), labels, MetricKind::Gauge, value);
    }

    fn add(
        &mut self,
        name: Cow<'static, str>,
        labels: &[(&'static str, &str)],
        kind: MetricKind,
        value: f64,
    ) {
        let mut labels: Vec<_> = labels
            .iter()
            .map(|(label, value)| (Cow::Borrowed(*label), (*value).to_owned()))
            .collect();
        labels.sort();
        self.values
            .entry(Metric { name, labels })
            .or_insert((kind, 0.0))
            .1 += value;
    }

    /// Adds everything that `other` counted.
    pub fn merge(&mut self, other: &Self) {
        for (metric, (kind, value)) in &other.values {
            self.values.entry(metric.clone()).or_insert((*kind, 0.0)).1 += value;
        }
    }

    /// Keeps those values only that `keep` says.
    pub fn retain(&mut self, mut keep: impl FnMut(&Metric, MetricKind) -> bool) {
        self.values.retain(|metric, (kind, _)| keep(metric, *kind));
    }

    /// One value, by name and labels.
    #[must_use]
    pub fn get(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let mut wanted = labels.to_vec();
        wanted.sort_unstable();
        self.iter()
            .find(|(metric, ..)| metric.name() == name && metric.labels().eq(wanted.iter().copied()))
            .map(|(.., value)| value)
    }

    /// All values, sorted by name and labels.
    pub fn iter(&self) -> impl Iterator<Item = (&Metric, MetricKind, f64)> {
        self.values
            .iter()
            .map(|(metric, (kind, value))| (metric, *kind, *value))
    }
}
