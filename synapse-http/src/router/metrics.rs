//! What was counted, in Prometheus' text format (version 0.0.4).

use std::{collections::BTreeMap, fmt::Write as _, sync::Arc};

use axum::{extract::State, response::Response};
use http::{HeaderValue, header};
use synapse_core::{MetricKind, MetricsData};

use super::routes::Served;

const FORMAT: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");

pub(super) async fn metrics(State(served): State<Arc<Served>>) -> Response {
    let mut response = Response::new(text(&served.module.get_metrics()).into());
    response.headers_mut().insert(header::CONTENT_TYPE, FORMAT);
    response
}

/// `queue.refused` becomes `synapse_queue_refused_total`; what is no counter is a gauge.
fn text(data: &MetricsData) -> String {
    // Two dotted names may become one: each family must still be written once, and whole.
    let mut families: BTreeMap<String, (&'static str, String)> = BTreeMap::new();
    for (metric, kind, value) in data.iter() {
        let counts = kind == MetricKind::Counter;
        let name = family(metric.name(), counts);
        let series = families
            .entry(name.clone())
            .or_insert_with(|| (if counts { "counter" } else { "gauge" }, String::new()));
        // Writing to a string cannot fail.
        let _ = series.1.write_str(&name);
        write_labels(&mut series.1, metric.labels());
        let _ = writeln!(series.1, " {}", number(value));
    }
    let mut text = String::new();
    for (name, (kind, series)) in &families {
        let _ = write!(text, "# TYPE {name} {kind}\n{series}");
    }
    text
}

fn family(name: &str, counts: bool) -> String {
    let mut family = String::from("synapse_");
    family.extend(
        name.chars()
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }),
    );
    if counts && !family.ends_with("_total") {
        family.push_str("_total");
    }
    family
}

fn write_labels<'a>(out: &mut String, labels: impl Iterator<Item = (&'a str, &'a str)>) {
    let mut open = false;
    for (label, value) in labels {
        out.push(if open { ',' } else { '{' });
        open = true;
        if label.starts_with(|c: char| c.is_ascii_digit()) {
            out.push('_');
        }
        out.extend(
            label
                .chars()
                .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }),
        );
        out.push_str("=\"");
        for c in value.chars() {
            match c {
                '\\' => out.push_str("\\\\"),
                '"' => out.push_str("\\\""),
                '\n' => out.push_str("\\n"),
                c => out.push(c),
            }
        }
        out.push('"');
    }
    if open {
        out.push('}');
    }
}

fn number(value: f64) -> String {
    if value.is_nan() {
        "NaN".into()
    } else if value.is_infinite() {
        if value > 0.0 { "+Inf" } else { "-Inf" }.into()
    } else {
        value.to_string()
    }
}
