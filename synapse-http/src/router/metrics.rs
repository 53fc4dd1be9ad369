//! What was counted, in Prometheus' text format (version 0.0.4).

use std::{collections::BTreeMap, fmt::Write as _, sync::Arc};

use axum::{
    extract::{Request, State},
    response::Response,
};
use http::{HeaderValue, header};
use synapse_core::{MetricKind, MetricsData};

use super::routes::{Served, unknown_route};
use crate::SignedBy;

const FORMAT: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");

pub(super) async fn metrics(State(served): State<Arc<Served>>, request: Request) -> Response {
    // Other members compete, and what this one counts is its operator's.
    if request.extensions().get::<SignedBy>().is_some() {
        return unknown_route(request).await;
    }
    let mut response = Response::new(text(&served.module.get_metrics()).into());
    response.headers_mut().insert(header::CONTENT_TYPE, FORMAT);
    response
}

/// `queue.refused` becomes `synapse_queue_refused_total`; what is no counter is a gauge.
fn text(data: &MetricsData) -> String {
    // Two dotted names may become one: each family must still be written once, and each of its series too.
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    for (metric, kind, value) in data.iter() {
        let counts = kind == MetricKind::Counter;
        let family = families
            .entry(family(metric.name(), counts))
            .or_insert_with(|| Family {
                counts,
                series: BTreeMap::new(),
            });
        // A gauge that is named like a counter: a family has one type, and the first one has it.
        if family.counts == counts {
            *family.series.entry(labels(metric.labels())).or_default() += value;
        }
    }
    let mut text = String::new();
    for (name, Family { counts, series }) in &families {
        let kind = if *counts { "counter" } else { "gauge" };
        // Writing to a string cannot fail.
        let _ = writeln!(text, "# TYPE {name} {kind}");
        for (labels, value) in series {
            let _ = writeln!(text, "{name}{labels} {}", number(*value));
        }
    }
    text
}

/// Series of one name and type, by their labels. Those that became the same are added up.
struct Family {
    counts: bool,
    series: BTreeMap<String, f64>,
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

fn labels<'a>(labels: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let mut out = String::new();
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
    out
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
