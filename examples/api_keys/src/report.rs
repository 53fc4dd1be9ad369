//! What the program says, for people and for programs.

use std::time::SystemTime;

use node_args::table::{Column, Look, Page, Span, Table};
use serde_json::{Value, json};
use synapse_core::Error;
use synapse_http::api_keys::ApiKeyInfo;

/// Prints a new key, the one time that it is known.
pub(crate) fn made(json: bool, key: &ApiKeyInfo, secret: &str) -> Result<(), Error> {
    if json {
        let mut value = described(key);
        value["secret"] = secret.into();
        return self::json(&value);
    }
    node_args::say(&format!("{secret}\n"))?;
    eprintln!(
        "{} is {}'s; tell it now, since it is not shown again",
        key.id(),
        key.caller()
    );
    Ok(())
}

pub(crate) fn json(value: &Value) -> Result<(), Error> {
    node_args::say(&format!("{value}\n"))
}

pub(crate) fn described(key: &ApiKeyInfo) -> Value {
    let mut value = json!(key);
    value["state"] = state(key).0.into();
    value
}

pub(crate) fn table(keys: &[ApiKeyInfo]) -> Result<(), Error> {
    if keys.is_empty() {
        eprintln!("there are no API keys yet");
        return Ok(());
    }
    let mut table = Table::new([
        Column::Words("id"),
        Column::Words("caller"),
        Column::Words("state"),
        Column::Words("expires"),
        Column::Words("models"),
        Column::Words("limits"),
        Column::Words("note"),
    ]);
    for key in keys {
        let (state, look) = state(key);
        table.row([
            Span::new(key.id().as_str()),
            Span::new(key.caller().as_str()),
            Span::new(state).look(look),
            Span::new(key.expires().map_or_else(|| "never".to_owned(), date)),
            Span::new(models(key)),
            Span::new(limits(key).join(", ")),
            Span::new(key.note()),
        ]);
    }
    let mut page = Page::new();
    page.table(table);
    node_args::say(&page.render(false, None))
}

pub(crate) fn page(key: &ApiKeyInfo) -> Result<(), Error> {
    let mut lines = vec![
        ("id", key.id().to_string()),
        ("caller", key.caller().to_string()),
        ("state", state(key).0.to_owned()),
        ("created", date(key.created())),
        ("expires", key.expires().map_or_else(|| "never".to_owned(), date)),
    ];
    lines.extend(key.revoked().map(|at| ("revoked", date(at))));
    lines.push(("models", models(key)));
    lines.extend(limits(key).into_iter().map(|limit| ("limit", limit)));
    lines.push(("note", key.note().to_owned()));
    let mut page = Page::new();
    for (name, text) in lines.iter().filter(|(_, text)| !text.is_empty()) {
        page.line([format!("{name:<8} {text}")]);
    }
    node_args::say(&page.render(false, None))
}

pub(crate) fn failure(error: &Error, json: bool) {
    if json {
        let error = json!({ "code": error.code(), "message": error.message(), "hint": error.hint() });
        return eprintln!("{}", json!({ "error": error }));
    }
    eprintln!("error: {error}");
    let mut cause = std::error::Error::source(error);
    while let Some(current) = cause {
        eprintln!("  because: {current}");
        cause = current.source();
    }
}

fn state(key: &ApiKeyInfo) -> (&'static str, Look) {
    match (key.revoked(), key.expires()) {
        (Some(_), _) => ("revoked", Look::Bad),
        (None, Some(at)) if at <= SystemTime::now() => ("expired", Look::Odd),
        (None, _) => ("good", Look::Good),
    }
}

fn models(key: &ApiKeyInfo) -> String {
    match key.models().names() {
        Some(names) => names.collect::<Vec<_>>().join(", "),
        None => "all".to_owned(),
    }
}

fn limits(key: &ApiKeyInfo) -> Vec<String> {
    let allowance = key.allowance();
    let numbers = [
        (allowance.requests_per_minute, "requests a minute"),
        (allowance.tokens_per_minute, "tokens a minute"),
        (allowance.tokens_per_day, "tokens a day"),
        (allowance.tokens_per_month, "tokens a month"),
    ];
    let money = [
        (allowance.spend_per_day, "spent a day"),
        (allowance.spend_per_month, "spent a month"),
    ];
    let numbers = numbers.map(|(limit, what)| limit.map(|limit| format!("{limit} {what}")));
    let money = money.map(|(limit, what)| limit.map(|limit| format!("{limit} {what}")));
    numbers.into_iter().chain(money).flatten().collect()
}

/// As HTTP writes it; what lies beyond its years is as good as never.
fn date(time: SystemTime) -> String {
    const LAST: u64 = 253_402_300_799;
    let last = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(LAST);
    httpdate::fmt_http_date(time.min(last))
}
