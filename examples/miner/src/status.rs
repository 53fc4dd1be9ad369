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
