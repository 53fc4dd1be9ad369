//! What a module says of itself: capabilities and metrics.

use std::collections::BTreeMap;

use super::{
    questions::Questions,
    report::{Failure, Record, Verdict},
    subject::Subject,
};
use crate::{InferenceModule, Metric, MetricKind, MetricsData, ModuleCapabilities, Task};

/// What the module claims once it is initialised; `None` where it cannot even say.
pub(super) fn first<M: InferenceModule>(
    subject: &Subject<M>,
    record: &mut Record,
) -> Option<ModuleCapabilities> {
    let claims = match subject.capabilities() {
        Ok(claims) => claims,
        Err(fault) => {
            let verdict = Failure::new("capabilities", fault, "return what is known, without work");
            record.put("capabilities_are_complete", Err(verdict));
            return None;
        }
    };
    record.put("capabilities_are_complete", complete(&claims));
    Some(claims)
}

fn complete(claims: &ModuleCapabilities) -> Verdict {
    let missing = |what: &str, advice| Err(Failure::new(what, "none", advice));
    if claims.name.trim().is_empty() {
        return missing("a name", "name the module in ModuleCapabilities::new");
    }
    if claims.tasks.is_empty() {
        return missing("at least one task", "add what it can do: with_task(Task::CHAT)");
    }
    if claims.interfaces.is_empty() {
        return missing(
            "a version of the module interface",
            "leave interfaces as ModuleCapabilities::new sets it",
        );
    }
    let mut ids: Vec<&str> = claims.models.iter().map(|model| model.id.as_str()).collect();
    ids.sort_unstable();
    if ids.first().is_some_and(|id| id.is_empty()) || ids.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(Failure::new(
            "models with names, each once",
            ids.join(", "),
            "declare each model once, under the name that requests use",
        ));
    }
    Ok(())
}

/// Whether the claims are still what they were.
pub(super) fn unchanged<M: InferenceModule>(
    subject: &Subject<M>,
    questions: &Questions,
    record: &mut Record,
) {
    for task in questions.unknown_tasks() {
        record.skip(
            format!("answers_{task}"),
            "the suite does not know this task: test it yourself",
        );
    }
    let before = &questions.capabilities;
    let verdict = match subject.capabilities() {
        Ok(now) if now == *before => Ok(()),
        Ok(now) => Err(Failure::new(
            "the same capabilities at every call of an initialised module",
            format!("first {before:?}, then {now:?}"),
            "decide what the module can do in initialize",
        )),
        Err(fault) => Err(Failure::new(
            "capabilities",
            fault,
            "return what is known, without work",
        )),
    };
    record.put("capabilities_are_stable", verdict);
    if !before.tasks.contains(&Task::EMBEDDINGS) {
        record.skip("answers_embeddings", "not claimed");
    }
}

/// Whether the metrics, as they were seen between all requests, make sense.
pub(super) fn metrics<M: InferenceModule>(subject: &Subject<M>, record: &mut Record) {
    subject.observe_metrics();
    let seen = subject.observed_metrics();
    record.put("metrics_are_named", seen.iter().try_for_each(named));
    record.put("counters_only_grow", growing(&seen));
}

fn named(metrics: &MetricsData) -> Verdict {
    let fits = |name: &str| {
        !name.is_empty()
            && name
                .bytes()
                .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'.'))
    };
    let odd = metrics
        .iter()
        .find(|(metric, _, value)| !fits(metric.name()) || !value.is_finite());
    match odd {
        None => Ok(()),
        Some((metric, _, value)) => Err(Failure::new(
            "metrics named in a-z, 0-9, _ and ., with finite values",
            format!("{:?} = {value}", metric.name()),
            "name them like queue.refused; what varies goes into labels",
        )),
    }
}

fn growing(seen: &[MetricsData]) -> Verdict {
    let mut highest: BTreeMap<&Metric, f64> = BTreeMap::new();
    for (metric, kind, value) in seen.iter().flat_map(MetricsData::iter) {
        if kind != MetricKind::Counter {
            continue;
        }
        let before = highest.entry(metric).or_insert(value);
        if value < *before {
            return Err(Failure::new(
                "counters that only grow",
                format!("{} went from {before} to {value}", metric.name()),
                "report what goes up and down as a gauge",
            ));
        }
        *before = value;
    }
    Ok(())
}
