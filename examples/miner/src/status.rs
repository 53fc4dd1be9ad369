//! A miner's status, laid out for a terminal.

use node_args::{
    status::{Written, ago, short},
    table::{Column, Look, Page, Span, Table},
};
use synapse_core::{HealthStatus, ModuleCapabilities, Reason};
use synapse_miner::node::{MinerStatus, ScoreSeen};

/// Where there is nothing to show.
const NOTHING: &str = "-";

pub(crate) fn page(told: &Written<MinerStatus>, page: &mut Page) {
    let status = &told.status;
    page.line([membership(status)]);
    page.line([listing(status)]);
    page.line([module(status)]);
    page.line([work(status)]);
    page.line([engine(status)]);
    if !status.refusals.is_empty() {
        page.line([refusals(status)]);
    }
    page.line([care(status)]);
    for alert in &status.alerts {
        let text = format!("ALERT {}: {}", alert.code, alert.text);
        page.text(Span::new(text).look(Look::Bad));
    }
    page.line([""]);
    page.table(scores(&status.scores));
}

fn membership(status: &MinerStatus) -> Span {
    let (node, subnet) = (&status.node, status.subnet);
    let epoch = status
        .epoch
        .map_or_else(|| "unknown".to_owned(), |epoch| epoch.id.to_string());
    match &status.membership {
        Some(member) => Span::new(format!(
            "epoch {epoch} of subnet {subnet}  miner {node}  member since block {}, with a stake of {}",
            member.since, member.stake
        )),
        None => Span::new(format!(
            "epoch {epoch} of subnet {subnet}  miner {node}  no member"
        ))
        .look(Look::Bad),
    }
}

fn listing(status: &MinerStatus) -> Span {
    let endpoint = status.endpoint.as_deref().unwrap_or("nowhere yet");
    match status.listed {
        true => Span::new(format!("listed at {endpoint}, with what it serves")),
        false => Span::new(format!("not listed as it is: it serves at {endpoint}")).look(Look::Odd),
    }
}

fn module(status: &MinerStatus) -> Span {
    let claims = status
        .capabilities
        .as_ref()
        .map_or_else(|| "the module was not asked yet".to_owned(), claims);
    match &status.health {
        Some(health) => {
            let (word, look) = match health.status {
                HealthStatus::Ready => ("ready", Look::Plain),
                HealthStatus::Degraded => ("degraded", Look::Odd),
                _ => ("unhealthy", Look::Bad),
            };
            let why = health
                .reason
                .as_ref()
                .map_or_else(String::new, |why| format!(": {why}"));
            Span::new(format!("{claims}  {word}{why}")).look(look)
        }
        None => Span::new(claims),
    }
}

fn claims(capabilities: &ModuleCapabilities) -> String {
    let models: Vec<String> = capabilities
        .models
        .iter()
        .map(|model| match model.context_length {
            Some(length) => format!("{} ({length} tokens)", model.id),
            None => model.id.clone(),
        })
        .collect();
    format!(
        "{} {}  serves {}",
        capabilities.name,
        capabilities.version,
        match models.is_empty() {
            true => "no model".to_owned(),
            false => models.join(", "),
        }
    )
}

/// What the queue and the requests came to.
fn work(status: &MinerStatus) -> Span {
    let counted = |name: &str| {
        let count = status.metrics.get(name);
        count.map_or_else(|| NOTHING.to_owned(), |count| format!("{count:.0}"))
    };
    let stage = format!("{:?}", status.stage).to_lowercase();
    Span::new(format!(
        "{stage}  {} under way  {} waiting  {} taken so far",
        counted("queue.in_flight"),
        counted("queue.waiting"),
        counted("queue.admitted")
    ))
}

/// What the engine has room for, and how fast it is.
fn engine(status: &MinerStatus) -> Span {
    let mut shown = Vec::new();
    if let Some(capacity) = status.health.as_ref().and_then(|health| health.capacity) {
        shown.push(match capacity.slots {
            Some(slots) => format!("{} of {slots} places taken", capacity.busy),
            None => format!("{} at work", capacity.busy),
        });
        for (what, free) in [
            ("memory", capacity.memory_free),
            ("GPU memory", capacity.gpu_memory_free),
        ] {
            shown.extend(free.map(|bytes| format!("{} MiB of {what} free", bytes >> 20)));
        }
    }
    for (name, unit) in [
        ("inference.decode_tokens_per_second", "tokens/s"),
        ("inference.first_content_p50_seconds", "s to the first content"),
    ] {
        let measured = status.metrics.get(name);
        shown.extend(measured.map(|value| format!("{value:.2} {unit}")));
    }
    for (name, what) in [
        ("scale.ready", "replicas"),
        ("engine.restarts", "restarts of the engine"),
    ] {
        let count = status.metrics.get(name);
        shown.extend(count.map(|count| format!("{count:.0} {what}")));
    }
    match shown.is_empty() {
        true => Span::new("nothing is measured of the engine yet"),
        false => Span::new(shown.join("  ")),
    }
}

/// Who was refused, by part and reason.
fn refusals(status: &MinerStatus) -> Span {
    let counts = status.refusals.iter();
    let shown: Vec<_> = counts.map(|(what, count)| format!("{what} {count}")).collect();
    Span::new(format!("refused  {}", shown.join("  ")))
}

/// When it last looked after everything, and what it paid.
fn care(status: &MinerStatus) -> Span {
    let beat = status.heartbeat_ms.map_or_else(|| "none yet".to_owned(), ago);
    Span::new(format!(
        "heartbeat {beat}  registered itself {} times, for {}",
        status.registrations, status.spent
    ))
}

fn scores(scores: &[ScoreSeen]) -> Table<6> {
    let mut table = Table::new([
        Column::Words("VALIDATOR"),
        Column::Numbers("EPOCH"),
        Column::Numbers("SCORE"),
        Column::Numbers("WEIGHT"),
        Column::Words("OUTCOME"),
        Column::Words("REASON"),
    ]);
    for seen in scores {
        let weight = seen
            .weight
            .map_or_else(|| NOTHING.to_owned(), |weight| weight.to_string());
        table.row([
            short(&seen.validator).into(),
            seen.epoch.to_string().into(),
            score(seen.score).into(),
            weight.into(),
            seen.outcome.as_str().into(),
            reason(&seen.reasons).into(),
        ]);
    }
    table
}

pub(crate) fn score(score: Option<f64>) -> String {
    score.map_or_else(|| "no opinion".to_owned(), |score| format!("{score:.3}"))
}

fn reason(reasons: &[Reason]) -> &str {
    reasons.first().map_or(NOTHING, |reason| &*reason.text)
}
