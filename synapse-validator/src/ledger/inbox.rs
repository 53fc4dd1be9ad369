//! Top-ups that another process leaves for the one that has the ledger.

use std::{
    fs,
    io::{ErrorKind as Io, Read as _},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use synapse_core::{CallerId, Error, Micros, OperationId};

use super::{TopUp, UnixMillis, codec::LONGEST_NOTE, disk, error, keeper::Shared, shown};

/// Bytes of one message, at most: all its texts, each byte of which JSON may write in six.
const MOST_BYTES: u64 = 6 * (LONGEST_NOTE as u64 + 1024);
/// Messages that are taken in before somebody else has a turn.
const AT_ONCE: usize = 256;
/// Refusals that are kept.
const KEPT: usize = 1000;

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Message {
    operation: OperationId,
    at: UnixMillis,
    caller: CallerId,
    amount: Micros,
    note: String,
}

/// What became of a top-up that was left.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Left {
    /// Nobody took it in yet.
    Waiting,
    /// It is in the ledger, and outlives a power cut.
    Done,
    /// It was refused, for this reason. Of the last thousand refusals only this is known: whoever asks for an older one is
    /// told that it is done.
    Refused(String),
}

/// Leaves a top-up for the process that has the ledger in this directory. Leaving it twice has the effect once.
///
/// # Errors
/// `ledger_payment_differs` where another of this name was left and not yet taken in; `ledger_name_missing` where the
/// payment has no name; `ledger_disk`, `ledger_name_too_long`, `ledger_text_odd`.
pub fn leave(directory: impl AsRef<Path>, top_up: &TopUp) -> Result<(), Error> {
    if top_up.operation.as_str().is_empty() {
        return Err(error::no_name("payment"));
    }
    shown::check(&top_up.note, "payment's note")?;
    let path = path(directory.as_ref(), &top_up.operation);
    let message = Message {
        operation: top_up.operation.clone(),
        at: top_up.at,
        caller: top_up.caller.clone(),
        amount: top_up.amount,
        note: top_up.note.clone(),
    };
    let bytes = serde_json::to_vec(&message).expect("a message is JSON");
    if bytes.len() as u64 > MOST_BYTES {
        return Err(error::too_long("payment's text"));
    }
    let unwritten = |error| error::disk(&path, "written", error);
    disk::create_folder(&folder(directory.as_ref())).map_err(unwritten)?;
    let _ = fs::remove_file(path.with_extension("refused"));
    while !disk::put(&path, &bytes).map_err(unwritten)? {
        // Who left it was told nothing else yet, so that nothing may take its place.
        match read(&path) {
            Ok(other) if (&other.caller, other.amount) == (&top_up.caller, top_up.amount) => break,
            Ok(other) => {
                return Err(error::payment_differs(
                    &other.operation,
                    other.amount,
                    &other.caller,
                ));
            }
            // It was taken in meanwhile.
            Err(_) if !path.exists() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// What became of a top-up that was left.
///
/// # Errors
/// `ledger_disk`.
pub fn left(directory: impl AsRef<Path>, operation: &OperationId) -> Result<Left, Error> {
    let path = path(directory.as_ref(), operation);
    let refused = path.with_extension("refused");
    match fs::read_to_string(&refused) {
        Ok(why) => return Ok(Left::Refused(why)),
        Err(error) if error.kind() == Io::NotFound => {}
        Err(error) => return Err(error::disk(&refused, "read", error)),
    }
    match fs::symlink_metadata(&path) {
        Ok(_) => Ok(Left::Waiting),
        Err(error) if error.kind() == Io::NotFound => Ok(Left::Done),
        Err(error) => Err(error::disk(&path, "read", error)),
    }
}

/// Takes in what was left. A message goes once its row outlives a power cut.
pub(super) fn take_in(directory: &Path, ledger: &Shared) {
    let Ok(entries) = fs::read_dir(folder(directory)) else {
        return;
    };
    let (mut taken, mut refused) = (Vec::new(), false);
    let messages = entries.flatten().map(|entry| entry.path());
    let messages = messages.filter(|path| path.extension().is_some_and(|ending| ending == "json"));
    for path in messages.take(AT_ONCE) {
        match read(&path).and_then(|top_up| ledger.write(|writer| writer.top_up(&top_up))) {
            Ok(_) => taken.push(path),
            // It is tried again.
            Err(error) if error.code() == "ledger_unavailable" => {}
            Err(error) => {
                refuse(&path, &error);
                refused = true;
            }
        }
    }
    if refused {
        forget_old_refusals(directory);
    }
    if !taken.is_empty() && ledger.sync().is_ok() {
        for path in taken {
            let _ = fs::remove_file(path);
        }
    }
}

fn read(path: &Path) -> Result<TopUp, Error> {
    let unreadable = |error| error::disk(path, "read", error);
    // Not a link to elsewhere, and not a pipe that never ends.
    if !fs::symlink_metadata(path).map_err(unreadable)?.is_file() {
        return Err(malformed("it is no file"));
    }
    let mut bytes = Vec::new();
    let file = fs::File::open(path).map_err(unreadable)?;
    file.take(MOST_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(malformed("it is too long"));
    }
    let message: Message = serde_json::from_slice(&bytes)
        .map_err(|error| malformed("it is not what leaving one writes").with_source(error))?;
    let mut top_up = TopUp::new(
        message.operation,
        message.at,
        message.caller.as_str(),
        message.amount,
    );
    top_up.note = message.note;
    Ok(top_up)
}

fn malformed(why: &str) -> Error {
    Error::invalid(
        "ledger_message",
        format!("a message to the ledger cannot be read: {why}"),
    )
}

/// Leaves the reason in the message's place.
fn refuse(path: &Path, error: &Error) {
    tracing::warn!(message = %path.display(), %error, "a top-up was refused");
    let refused = disk::replace(&path.with_extension("refused"), error.to_string().as_bytes());
    if refused.is_ok() {
        let _ = fs::remove_file(path);
    }
}

/// Keeps the newest refusals.
fn forget_old_refusals(directory: &Path) {
    let Ok(entries) = fs::read_dir(folder(directory)) else {
        return;
    };
    let mut refusals = Vec::new();
    for entry in entries.flatten() {
        let path = entry.path();
        if path.extension().is_some_and(|ending| ending == "refused")
            && let Ok(found) = entry.metadata()
        {
            refusals.push((found.modified().ok(), path));
        }
    }
    let many = refusals.len().saturating_sub(KEPT);
    refusals.sort();
    for (_, path) in refusals.into_iter().take(many) {
        let _ = fs::remove_file(path);
    }
}

pub(super) fn folder(directory: &Path) -> PathBuf {
    directory.join("inbox")
}

/// A name that any payment's may be made into.
fn path(directory: &Path, operation: &OperationId) -> PathBuf {
    let mut name = String::new();
    for byte in operation.as_str().bytes() {
        match byte {
            b'a'..=b'z' | b'0'..=b'9' => name.push(byte.into()),
            _ => name.push_str(&format!("_{byte:02x}")),
        }
    }
    // File systems have 255 bytes for a name.
    if name.len() > 200 {
        let (front, back) = (crc32fast::hash(name.as_bytes()), name.split_off(180));
        name.push_str(&format!("-{front:08x}{:08x}", crc32fast::hash(back.as_bytes())));
    }
    folder(directory).join(format!("{name}.json"))
}
