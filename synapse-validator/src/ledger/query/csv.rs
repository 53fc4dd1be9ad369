//! Rows as RFC 4180 has them, for spreadsheets.

use std::io::{self, Write};

use super::Row;
use synapse_core::is_plain;

const COLUMNS: &str = "entry,began_ms,ended_ms,request,caller,key,model,miner,prompt_tokens,completion_tokens,exact,\
claimed_prompt_tokens,claimed_completion_tokens,events,price_version,hold,charge,first_ms,total_ms,outcome,code";

/// Writes the names of the columns that [`write_csv`] fills.
///
/// # Errors
/// Those of the writer.
pub fn write_csv_head(out: &mut dyn Write) -> io::Result<()> {
    write!(out, "{COLUMNS}\r\n")
}

/// Writes a row as a line. Amounts are in whole units, with a point. A text that a spreadsheet would take for a formula,
/// blanks before it or not, has an apostrophe before it.
///
/// # Errors
/// Those of the writer.
pub fn write_csv(out: &mut dyn Write, row: &Row) -> io::Result<()> {
    let number = |number: Option<u64>| number.map(|number| number.to_string()).unwrap_or_default();
    let outcome = row.outcome.as_ref();
    let cells = [
        row.entry.0.to_string(),
        row.began.to_string(),
        number(row.ended),
        csv_text(row.request.as_str()),
        csv_text(row.caller.as_ref().map_or("", |caller| caller.as_str())),
        csv_text(row.key.as_ref().map_or("", |key| key.as_str())),
        csv_text(&row.model),
        csv_text(row.miner.as_ref().map_or("", |miner| miner.as_str())),
        row.prompt_tokens.to_string(),
        row.completion_tokens.to_string(),
        row.is_exact.to_string(),
        number(row.claimed_prompt_tokens),
        number(row.claimed_completion_tokens),
        row.events.to_string(),
        number(row.price.map(|price| price.0.into())),
        row.hold.to_string(),
        row.charge.to_string(),
        number(row.first_ms),
        number(row.total_ms),
        outcome.map_or("open", |outcome| outcome.as_str()).to_owned(),
        csv_text(outcome.and_then(|outcome| outcome.code()).unwrap_or_default()),
    ];
    write!(out, "{}\r\n", cells.join(","))
}

/// A text as one cell.
#[must_use]
pub fn csv_text(text: &str) -> String {
    // Programs leave out what is not shown, and some take the wide signs of East Asian keyboards for the others.
    let said = text.trim_start_matches(|letter: char| letter.is_whitespace() || !is_plain(letter));
    let is_formula = said.starts_with(['=', '+', '-', '@', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}'])
        || text.starts_with(['\t', '\r', '\n']);
    let text = if is_formula {
        format!("'{text}")
    } else {
        text.to_owned()
    };
    if text.contains([',', '"', '\r', '\n']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text
    }
}
