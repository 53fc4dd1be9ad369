//! What can go wrong with a ledger.

use std::{io, path::Path, time::Duration};

use synapse_core::{CallerId, Error, ErrorKind, Micros, OperationId, Retry};

/// A row was not taken. What callers read says nothing of the machine; the cause does.
pub(super) fn unavailable(
    why: &'static str,
    source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> Error {
    Error::unavailable(
        "ledger_unavailable",
        format!("requests cannot be accounted for now: {why}"),
    )
    .with_retry(Retry::After(Duration::from_secs(1)))
    .with_source(source)
}

/// An operation on a file failed, for an operator to read.
pub(super) fn disk(path: &Path, attempted: &str, error: io::Error) -> Error {
    let hint = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "make room on the disk",
        _ => "check the disk, and that this user may read and write there",
    };
    Error::new(
        ErrorKind::Unavailable,
        "ledger_disk",
        format!("{} could not be {attempted}: {error}", path.display()),
    )
    .with_hint(hint)
    .with_source(error)
}

/// What is written goes where nobody finds it, for an operator to read.
pub(super) fn moved(path: &Path, why: &str) -> Error {
    Error::broken(
        "ledger_moved",
        format!("{} is not what the ledger opened any more: {why}", path.display()),
    )
    .with_retry(Retry::Never)
    .with_hint(
        "stop this process, put back what was there, from a backup where it was deleted, and start the process again; \
         where it finds no ledger it begins an empty one, in which nobody has a balance",
    )
}

/// A file is not what was written, for an operator to read.
pub(super) fn corrupt(path: &Path, offset: u64, why: &str) -> Error {
    Error::broken(
        "ledger_corrupt",
        format!("{} is corrupt at byte {offset}: {why}", path.display()),
    )
    .with_retry(Retry::Never)
    .with_hint("restore the file from a backup")
}

/// The same of what opening the ledger can set aside.
pub(super) fn corrupt_rows(error: Error) -> Error {
    error.with_hint(
        "restore the file from a backup, or set the option billing.set_corrupt_aside for one start: what is corrupt is set \
         aside then, and the rest goes on",
    )
}

/// A segment is not there, for an operator to read.
pub(super) fn missing(path: &Path) -> Error {
    Error::broken(
        "ledger_segment_missing",
        format!("{} is missing, and the ledger had it", path.display()),
    )
    .with_retry(Retry::Never)
    .with_hint(
        "restore the file from a backup, or set the option billing.set_corrupt_aside for one start: what is missing is noted \
         as lost then, and the rest goes on",
    )
}

/// A file is of a later version.
pub(super) fn newer(path: &Path, version: u32) -> Error {
    Error::unsupported(
        "ledger_newer",
        format!(
            "{} was written in version {version}, which this program does not know",
            path.display()
        ),
    )
    .with_hint("run the newer program, or restore what was backed up before the upgrade")
}

/// An end of what has none to come.
pub(super) fn not_open(entry: u64) -> Error {
    Error::invalid(
        "ledger_entry_closed",
        format!("entry {entry} of the ledger is closed already, or was never opened"),
    )
}

/// A name that the ledger cannot hold whole, and may not cut.
pub(super) fn too_long(what: &'static str) -> Error {
    Error::invalid(
        "ledger_name_too_long",
        format!("the {what} is longer than the 256 bytes that the ledger has for it"),
    )
}

/// A text that would not be shown as it is.
pub(super) fn odd_text(what: &'static str, letter: char) -> Error {
    Error::invalid(
        "ledger_text_odd",
        format!(
            "the {what} has the character U+{:04X}, which is not shown, or changes how others are",
            u32::from(letter)
        ),
    )
    .with_hint("leave it out")
}

/// A name that says nobody, or nothing.
pub(super) fn no_name(what: &'static str) -> Error {
    Error::invalid("ledger_name_missing", format!("the {what} has no name"))
}

/// Another payment has this name.
pub(super) fn payment_differs(operation: &OperationId, amount: Micros, caller: &CallerId) -> Error {
    Error::invalid(
        "ledger_payment_differs",
        format!("the payment {operation} was entered already, as {amount} for {caller}"),
    )
    .with_hint("give another payment a name of its own")
}
