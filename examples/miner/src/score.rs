//! Why a miner earned what it earned, as a validator says.

use clap::Args;
use node_args::{
    say,
    table::{Column, Look, Page, Span, Table},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use synapse_core::{
    Directory, EpochId, Error, Role, ScoreReport,
    config::{Configuration, Wrong},
};
use synapse_http::scores::Attested;

use crate::{
    config::MinerConfig,
    status::score,
    validators::{ValidatorKey, directory},
};

/// Who is asked, and for what.
#[derive(Debug, Args)]
pub(crate) struct ScoreArgs {
    /// The validator's API.
    #[arg(long, value_name = "URL")]
    validator: String,
    #[command(flatten)]
    key: ValidatorKey,
    /// The epoch; the last one that was scored where it is left out.
    #[arg(long, value_name = "N")]
    epoch: Option<u64>,
    /// JSON, with the body and the signature that prove it.
    #[arg(long)]
    json: bool,
}

/// The miner's options, of one who only asks: nothing needs to answer.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub(crate) struct Asker(pub(crate) MinerConfig);

impl Configuration for Asker {
    fn check(&self, wrong: &mut Wrong) {
        wrong.within("chain", |wrong| self.0.chain.check(wrong));
        wrong.within("key", |wrong| self.0.key.check(wrong));
    }
}

pub(crate) async fn run(Asker(config): Asker, asked: ScoreArgs) -> Result<(), Error> {
    let hotkey = config.key.unlock().await?.hotkey();
    let client = asked.key.client(&asked.validator, &config, hotkey).await?;
    let said = client.report(asked.epoch.map(EpochId)).await?;
    // Where a key was named, whatever the chain does.
    let directory = directory(&config).await.ok().flatten();
    say(&shown(&said, directory.as_deref(), asked.json))
}

/// A report, and the signature that proves it. `directory` says whether whoever signed it is a validator.
fn shown(said: &Attested<ScoreReport>, directory: Option<&Directory>, as_json: bool) -> String {
    let report = said.value();
    let standing = standing(report, directory);
    if as_json {
        // The body as it was signed: parsed and written again, its bytes would be others.
        let body = String::from_utf8_lossy(said.body());
        let document = json!({
            "report": report,
            "body": body,
            "signature": said.signature(),
            "is_validator": directory.map(|_| standing.is_ok()),
        });
        return format!("{document:#}\n");
    }
    let mut page = Page::new();
    page.line([format!(
        "epoch {} of subnet {}, judged by {} with the policy {} {}",
        report.epoch, report.subnet, report.validator, report.policy, report.policy_version
    )]);
    match standing {
        Ok(words) => page.line([words]),
        Err(words) => page.line([Span::new(words).look(Look::Bad)]),
    }
    page.line([worth(report)]);
    page.line([""]);
    page.table(reasons(report));
    page.line([""]);
    page.line([seen(report)]);
    page.render(false, None)
}

/// The sums of what was seen; with `--json` all of it is there.
fn seen(report: &ScoreReport) -> String {
    let count = |tally: &serde_json::Value, name: &str| tally[name].as_u64().unwrap_or(0);
    let probes = &report.evidence["probes"];
    let users: Vec<_> = report.evidence["users"]
        .as_object()
        .into_iter()
        .flatten()
        .collect();
    let of_users = |name: &str| users.iter().map(|(_, tally)| count(tally, name)).sum::<u64>();
    format!(
        "seen of it: {} of {} probes answered, {} of {} requests of {} users; --json has all of it",
        count(probes, "answered"),
        count(probes, "asked"),
        of_users("answered"),
        of_users("asked"),
        users.len()
    )
}

/// Whether a validator of the subnet signed this.
fn standing(report: &ScoreReport, directory: Option<&Directory>) -> Result<&'static str, String> {
    let Some(directory) = directory else {
        return Ok("signed by it; whether it is a validator of the subnet, the chain was not asked");
    };
    match directory.get(&report.validator) {
        Some(member) if member.role == Role::Validator => Ok("signed by it, a validator of the subnet"),
        _ => Err(format!(
            "signed by {}, which is NO validator of the subnet: its word moves no weight",
            report.validator
        )),
    }
}

fn worth(report: &ScoreReport) -> String {
    let interval = match (report.low, report.high) {
        (Some(low), Some(high)) => format!(" ({low:.3} to {high:.3})"),
        _ => String::new(),
    };
    let weight = report.weight.map_or_else(
        || "no weight".to_owned(),
        |weight| format!("a weight of {weight}"),
    );
    format!(
        "score {}{interval}, {weight}, {}",
        score(report.score),
        report.outcome
    )
}

fn reasons(report: &ScoreReport) -> Table<3> {
    let mut table = Table::new([
        Column::Words("REASON"),
        Column::Numbers("FACTOR"),
        Column::Words("WHAT WAS SEEN"),
    ]);
    for reason in &report.reasons {
        let factor = reason
            .factor
            .map_or_else(|| "-".to_owned(), |factor| format!("{factor:.3}"));
        table.row([
            reason.code.as_str().into(),
            factor.into(),
            reason.text.as_str().into(),
        ]);
    }
    table
}
