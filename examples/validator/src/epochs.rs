//! The epochs that a validator has stored, while it runs or not.

use std::path::Path;

use node_args::{
    say,
    table::{Column, Look, Page, Span, Table},
};
use serde_json::{Value, json};
use synapse_core::{Error, ErrorKind};
use synapse_validator::state::{EpochRecord, Stage, State};

/// Prints them, oldest first.
pub(crate) fn list(data_dir: &Path, as_json: bool) -> Result<(), Error> {
    if !data_dir.is_dir() {
        let what = format!("there is no directory {}", data_dir.display());
        return Err(Error::new(ErrorKind::NotFound, "no_epochs", what)
            .with_hint("name the one that the node was started with: --data-dir DIR"));
    }
    let (records, unreadable): (Vec<_>, Vec<_>) = State::read(data_dir)?.partition(Result::is_ok);
    let records: Vec<EpochRecord> = records.into_iter().flatten().collect();
    if as_json {
        let records: Vec<Value> = records.iter().map(document).collect();
        say(&format!("{:#}\n", Value::from(records)))?;
    } else {
        say(&page(&records).render(false, None))?;
    }
    // Those that can be read are shown; that others cannot is no secret either.
    let mut unreadable: Vec<_> = unreadable.into_iter().filter_map(Result::err).collect();
    let last = unreadable.pop();
    for error in unreadable {
        eprintln!("error: {error}");
    }
    last.map_or(Ok(()), Err)
}

fn page(records: &[EpochRecord]) -> Page {
    let mut table = Table::new([
        Column::Numbers("EPOCH"),
        Column::Words("STAGE"),
        Column::Numbers("FROM"),
        Column::Numbers("TO"),
        Column::Numbers("MINERS"),
        Column::Numbers("SCORED"),
        Column::Numbers("WEIGHTS"),
        Column::Words("POLICY"),
        Column::Words("OUTCOME"),
    ]);
    for record in records {
        let number = |count: usize| Span::from(count.to_string());
        table.row([
            record.epoch().to_string().into(),
            Span::new(record.stage.as_str()).look(look(&record.stage)),
            record.evidence.from.to_string().into(),
            record.evidence.to.to_string().into(),
            number(record.evidence.miners.len()),
            number(scored(record)),
            number(weights(record)),
            policy(record).into(),
            outcome(record).into(),
        ]);
    }
    let mut page = Page::new();
    page.table(table);
    page
}

fn look(stage: &Stage) -> Look {
    match stage {
        Stage::Submitted => Look::Good,
        Stage::Missed(_) | Stage::Refused(_) => Look::Bad,
        _ => Look::Plain,
    }
}

/// Miners with a score above zero.
fn scored(record: &EpochRecord) -> usize {
    let scores = record.opinion.as_ref().map(|opinion| opinion.scores.as_slice());
    let above = |scores: &[synapse_validator::score::Score]| {
        scores.iter().filter(|score| score.value() > 0.0).count()
    };
    scores.map_or(0, above)
}

fn weights(record: &EpochRecord) -> usize {
    record
        .intent
        .as_ref()
        .map_or(0, |intent| intent.weights.as_slice().len())
}

fn policy(record: &EpochRecord) -> String {
    let opinion = record.opinion.as_ref();
    opinion.map_or_else(
        || "-".to_owned(),
        |opinion| format!("{} {}", opinion.policy, opinion.policy_version),
    )
}

fn outcome(record: &EpochRecord) -> String {
    let mut outcome = record.outcome();
    if let Some(from) = record.intent.as_ref().and_then(|intent| intent.from_epoch) {
        outcome.push_str(&format!(", with the weights of epoch {from}"));
    }
    if let Some(fault) = &record.fault {
        outcome.push_str(&format!("; the policy failed: {fault}"));
    }
    outcome
}

fn document(record: &EpochRecord) -> Value {
    json!({
        "epoch": record.epoch(),
        "stage": record.stage.as_str(),
        "outcome": record.outcome(),
        "fault": record.fault,
        "from": record.evidence.from,
        "to": record.evidence.to,
        "interruptions": record.evidence.interruptions,
        "miners": record.evidence.miners.len(),
        "policy": record.opinion.as_ref().map(|opinion| &opinion.policy),
        "policy_version": record.opinion.as_ref().map(|opinion| opinion.policy_version),
        "scores": record.opinion.as_ref().map(|opinion| &opinion.scores),
        "operation": record.intent.as_ref().map(|intent| &intent.operation),
        "weights": record.intent.as_ref().map(|intent| &intent.weights),
        "weights_of_epoch": record.intent.as_ref().and_then(|intent| intent.from_epoch),
    })
}
