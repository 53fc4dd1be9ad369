//! What the program says, for people and for programs.

use node_args::table::{Column, Look, Page, Span, Table};
use serde_json::{Value, json};
use synapse_core::{CallerId, Error, KeyId, Micros, NodeId, plain};
use synapse_validator::ledger::{Account, Outcome, Report, Row, Totals, csv_text, show_time};

/// Prints the text, or the value.
pub(crate) fn line(json: bool, text: &str, value: &Value) -> Result<(), Error> {
    if json {
        node_args::say(&format!("{value}\n"))
    } else {
        node_args::say(text)
    }
}

pub(crate) fn rows(json: bool, report: &Report) -> Result<(), Error> {
    if json {
        return line(
            true,
            "",
            &json!({ "rows": report.rows, "totals": report.totals, "has_more": report.has_more }),
        );
    }
    let mut table = Table::new([
        Column::Words("ended"),
        Column::Words("caller"),
        Column::Words("key"),
        Column::Words("model"),
        Column::Words("miner"),
        Column::Numbers("prompt"),
        Column::Numbers("reply"),
        Column::Numbers("charge"),
        Column::Numbers("ms"),
        Column::Words("outcome"),
    ]);
    for row in &report.rows {
        table.row(cells(row));
    }
    let mut page = Page::new();
    page.table(table);
    if report.has_more {
        page.text("there are more: ask for another time, for --limit, or for --csv");
    }
    page.line([summed_up(&report.totals)]);
    node_args::say(&page.render(false, None))
}

fn cells(row: &Row) -> [Span; 10] {
    let name = |name: Option<&str>| Span::new(name.unwrap_or("-"));
    let (outcome, look) = match &row.outcome {
        None => ("open".to_owned(), Look::Plain),
        Some(Outcome::Complete) => ("complete".to_owned(), Look::Good),
        Some(other) => {
            let words = [Some(other.as_str()), other.code()];
            (
                words.into_iter().flatten().collect::<Vec<_>>().join(" "),
                Look::Odd,
            )
        }
    };
    [
        row.ended
            .map_or_else(|| Span::new("-"), |at| Span::new(show_time(at))),
        name(row.caller.as_ref().map(CallerId::as_str)),
        name(row.key.as_ref().map(KeyId::as_str)),
        Span::new(&row.model),
        name(row.miner.as_ref().map(NodeId::as_str)),
        tokens(row.prompt_tokens, row.is_exact),
        tokens(row.completion_tokens, row.is_exact),
        Span::new(row.charge.to_string()),
        Span::new(row.total_ms.map_or_else(|| "-".to_owned(), |ms| ms.to_string())),
        Span::new(outcome).look(look),
    ]
}

/// An estimate says that it is one.
fn tokens(count: u64, is_exact: bool) -> Span {
    Span::new(if is_exact {
        count.to_string()
    } else {
        format!("~{count}")
    })
}

fn summed_up(totals: &Totals) -> String {
    format!(
        "{} requests, {} complete, {} interrupted; {} tokens in, {} out; {} charged",
        totals.requests,
        totals.complete,
        totals.interrupted,
        totals.prompt_tokens,
        totals.completion_tokens,
        totals.charge
    )
}

pub(crate) fn totals(json: bool, csv: bool, names: &[&'static str], report: &Report) -> Result<(), Error> {
    if json {
        let groups: Vec<Value> = report
            .groups
            .iter()
            .map(|(group, totals)| {
                let mut value = json!(totals);
                for (name, of) in names.iter().zip(group) {
                    value[name] = json!(of);
                }
                value
            })
            .collect();
        return line(true, "", &json!({ "totals": report.totals, "groups": groups }));
    }
    if csv {
        return totals_csv(names, report);
    }
    let mut page = Page::new();
    if !names.is_empty() {
        let mut table = Table::new([
            Column::Words("of"),
            Column::Numbers("requests"),
            Column::Numbers("complete"),
            Column::Numbers("tokens in"),
            Column::Numbers("tokens out"),
            Column::Numbers("charge"),
        ]);
        for (group, totals) in &report.groups {
            table.row([
                Span::new(group.join(" · ")),
                Span::new(totals.requests.to_string()),
                Span::new(totals.complete.to_string()),
                Span::new(totals.prompt_tokens.to_string()),
                Span::new(totals.completion_tokens.to_string()),
                Span::new(totals.charge.to_string()),
            ]);
        }
        page.table(table);
    }
    page.line([summed_up(&report.totals)]);
    node_args::say(&page.render(false, None))
}

fn totals_csv(names: &[&'static str], report: &Report) -> Result<(), Error> {
    let of_all = [(Vec::new(), report.totals)];
    let groups = if names.is_empty() {
        &of_all[..]
    } else {
        &report.groups[..]
    };
    let mut out = names.iter().map(|name| format!("{name},")).collect::<String>();
    out.push_str("requests,complete,interrupted,prompt_tokens,completion_tokens,charge\r\n");
    for (group, totals) in groups {
        for name in group {
            out.push_str(&csv_text(name));
            out.push(',');
        }
        out.push_str(&format!(
            "{},{},{},{},{},{}\r\n",
            totals.requests,
            totals.complete,
            totals.interrupted,
            totals.prompt_tokens,
            totals.completion_tokens,
            totals.charge
        ));
    }
    node_args::say(&out)
}

pub(crate) fn balances(json: bool, accounts: &[(CallerId, Account)]) -> Result<(), Error> {
    if json {
        let accounts: Vec<Value> = accounts
            .iter()
            .map(|(caller, account)| {
                json!({
                    "caller": caller, "paid_in": account.paid_in, "charged": account.charged,
                    "balance": account.balance(), "owed": account.owed(),
                })
            })
            .collect();
        return line(true, "", &json!({ "accounts": accounts }));
    }
    if accounts.is_empty() {
        eprintln!("nobody paid anything in yet");
        return Ok(());
    }
    let mut table = Table::new([
        Column::Words("caller"),
        Column::Numbers("paid in"),
        Column::Numbers("charged"),
        Column::Numbers("balance"),
    ]);
    for (caller, account) in accounts {
        let owed = account.owed();
        let (balance, look) = match owed {
            Micros::ZERO => (account.balance().to_string(), Look::Plain),
            _ => (format!("-{owed}"), Look::Bad),
        };
        table.row([
            Span::new(caller.as_str()),
            Span::new(account.paid_in.to_string()),
            Span::new(account.charged.to_string()),
            Span::new(balance).look(look),
        ]);
    }
    let mut page = Page::new();
    page.table(table);
    node_args::say(&page.render(false, None))
}

pub(crate) fn failure(error: &Error, json: bool) {
    if json {
        let error = json!({ "code": error.code(), "message": error.message(), "hint": error.hint() });
        eprintln!("{}", json!({ "error": error }));
    } else {
        eprintln!("error: {}", plain(&error.to_string()));
    }
}
