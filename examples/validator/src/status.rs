//! A validator's status, laid out for a terminal.

use std::time::Duration;

use node_args::{
    status::{Written, short, shown},
    table::{Column, Look, Page, Span, Table},
};
use synapse_validator::node::{MinerState, MinerStatus, ValidatorStatus};

/// Where there is nothing to show.
const NOTHING: &str = "-";

pub(crate) fn page(told: &Written<ValidatorStatus>, page: &mut Page) {
    let status = &told.status;
    page.line([header(status)]);
    page.line([standing(status)]);
    page.line([judged(status)]);
    for alert in &status.alerts {
        let text = format!("ALERT {alert}; {}", alert.hint);
        page.text(Span::new(text).look(Look::Bad));
    }
    page.line([""]);
    page.table(miners(&status.miners));
}

fn header(status: &ValidatorStatus) -> Span {
    let (subnet, members, left) = (status.subnet, status.members, status.blocks_left);
    Span::new(match status.epoch {
        Some(epoch) => {
            let phase = format!("{:?}", epoch.phase).to_lowercase();
            format!(
                "epoch {} of subnet {subnet}, {phase}  {left} blocks left  block {}  {members} members",
                epoch.id, status.block
            )
        }
        None => format!("epoch unknown: the chain of subnet {subnet} has said nothing yet"),
    })
}

fn standing(status: &ValidatorStatus) -> Span {
    let (node, standing) = (&status.validator, &status.standing);
    let (stake, needed) = (standing.stake, standing.needed);
    if standing.may_weigh() {
        return Span::new(format!("validator {node}  stake {stake}, {needed} needed"));
    }
    let why = match standing.is_member {
        true => format!("its stake is {stake}, and {needed} is needed"),
        false => "it is no validator of the subnet".to_owned(),
    };
    Span::new(format!("validator {node}  sets no weights: {why}")).look(Look::Odd)
}

fn judged(status: &ValidatorStatus) -> Span {
    let policy = format!("policy {} {}", status.policy, status.policy_version);
    let gathering = status
        .gathering
        .map_or_else(String::new, |epoch| format!("  gathers for epoch {epoch}"));
    match &status.last {
        Some(last) => {
            let said = format!(
                "{policy}{gathering}  weights of epoch {}: {}, {} of them, at block {}",
                last.epoch, last.outcome, last.weights, last.block
            );
            let good = matches!(&*last.outcome, "submitted" | "pending");
            Span::new(said).look(if good { Look::Plain } else { Look::Odd })
        }
        None => Span::new(format!("{policy}{gathering}  no epoch is over yet")),
    }
}

fn miners(miners: &[MinerStatus]) -> Table<11> {
    let mut table = Table::new([
        Column::Words("MINER"),
        Column::Words("STATE"),
        Column::Numbers("SCORE"),
        Column::Numbers("WEIGHT"),
        Column::Numbers("ASKED"),
        Column::Numbers("FAILED"),
        Column::Numbers("TOKENS"),
        Column::Numbers("FIRST"),
        Column::Numbers("TOKENS/S"),
        Column::Numbers("SEEN"),
        Column::Words("REASON"),
    ]);
    for miner in miners {
        table.row([
            short(&miner.node).into(),
            state(miner.state),
            score(miner).into(),
            miner.share_ppm.map_or_else(nothing, percent).into(),
            miner.asked.to_string().into(),
            miner.failed.to_string().into(),
            miner.output_tokens.to_string().into(),
            miner.first_content_us.map_or_else(nothing, milliseconds).into(),
            miner.speed_mtps.map_or_else(nothing, thousandths).into(),
            miner.seen_secs_ago.map_or_else(nothing, ago).into(),
            reason(miner).into(),
        ]);
    }
    table
}

fn state(state: MinerState) -> Span {
    let (text, look) = match state {
        MinerState::Ready => ("ready", Look::Good),
        MinerState::NotReady => ("not ready", Look::Bad),
        MinerState::NotAdmitted => ("not admitted", Look::Odd),
        MinerState::Left => ("left", Look::Odd),
        _ => ("unknown", Look::Odd),
    };
    Span::new(text).look(look)
}

fn score(miner: &MinerStatus) -> String {
    match miner.score {
        Some(score) => format!("{:.3} ±{:.3}", score.value, (score.high - score.low) / 2.0),
        None => nothing(),
    }
}

fn reason(miner: &MinerStatus) -> &str {
    miner
        .why
        .as_deref()
        .or(miner.reason.as_deref())
        .unwrap_or(NOTHING)
}

fn nothing() -> String {
    NOTHING.to_owned()
}

fn percent(ppm: u32) -> String {
    format!("{}.{:02} %", ppm / 10_000, ppm % 10_000 / 100)
}

fn milliseconds(micros: u64) -> String {
    format!("{} ms", micros.div_ceil(1000))
}

fn thousandths(milli: u64) -> String {
    format!("{}.{}", milli / 1000, milli % 1000 / 100)
}

fn ago(seconds: u64) -> String {
    shown(Duration::from_secs(seconds))
}
