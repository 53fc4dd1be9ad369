//! Enters a payment, whether a gateway runs or not.

use std::{
    path::Path,
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use serde_json::json;
use synapse_core::{Error, Micros, OperationId, RequestId, is_plain};
use synapse_validator::ledger::{self, Ledger, Left, Settings, TopUp};

use crate::{
    options::{Options, TopUpOptions},
    report,
};

/// How long a gateway has to take it in.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) fn run(options: &Options, told: &TopUpOptions, directory: &Path) -> Result<(), Error> {
    if told.amount == Micros::ZERO {
        return Err(Error::invalid(
            "invalid_amount",
            "a payment of nothing changes nothing",
        ));
    }
    check_name("caller", &told.caller)?;
    if let Some(id) = &told.id {
        check_name("payment", id)?;
    }
    if !told.create && !directory.join("segments").is_dir() {
        return Err(Error::invalid(
            "ledger_not_found",
            format!("there is no ledger in {}", directory.display()),
        )
        .with_hint("name the gateway's data directory, or say --create to begin one"));
    }
    let name = told.id.clone().unwrap_or_else(|| RequestId::unique().to_string());
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
    let mut top_up = TopUp::new(OperationId::from(&*name), now, &*told.caller, told.amount);
    top_up.note.clone_from(&told.note);
    match Ledger::open(directory, Settings::default()) {
        Ok(ledger) => {
            ledger.top_up(&top_up)?;
            ledger.sync()?;
        }
        Err(error) if error.code() == "data_dir_locked" => hand_over(directory, &top_up)?,
        Err(error) => return Err(error),
    }
    let value = json!({ "payment": name, "caller": told.caller, "amount": told.amount, "note": told.note });
    let text = format!("{} paid in {}: payment {name}\n", told.caller, told.amount);
    report::line(options.json, &text, &value)
}

/// Whoever misspells a name pays somebody else, so that what no gateway calls anybody is refused.
fn check_name(what: &str, name: &str) -> Result<(), Error> {
    let is_odd = |letter: char| letter.is_whitespace() || !is_plain(letter);
    if name.is_empty() || name.contains(is_odd) {
        return Err(
            Error::invalid("invalid_name", format!("{name:?} is no {what}'s name"))
                .with_hint("write a name without spaces, such as alice or invoice-17"),
        );
    }
    Ok(())
}

/// Leaves it for the gateway, and waits until that has it.
fn hand_over(directory: &Path, top_up: &TopUp) -> Result<(), Error> {
    ledger::leave(directory, top_up)?;
    let start = Instant::now();
    loop {
        match ledger::left(directory, &top_up.operation)? {
            Left::Done => return Ok(()),
            Left::Refused(why) => {
                return Err(Error::invalid(
                    "top_up_refused",
                    format!("the gateway refused the payment: {why}"),
                ));
            }
            _ if start.elapsed() > PATIENCE => {
                return Err(Error::unavailable(
                    "top_up_waiting",
                    format!(
                        "whoever has the ledger in {} did not take the payment in yet",
                        directory.display()
                    ),
                )
                .with_hint(format!(
                    "it will, as soon as it can; to be sure, enter it again with --id {}, which counts once",
                    top_up.operation
                )));
            }
            _ => thread::sleep(Duration::from_millis(50)),
        }
    }
}
