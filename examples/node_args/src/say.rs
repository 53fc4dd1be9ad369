//! Standard output, whatever became of it.

use std::io::{self, ErrorKind, Write as _};

use synapse_core::Error;

/// Writes to standard output, at once. Who reads may have had enough, as `head` does: then nothing is written, and nothing
/// is wrong.
///
/// # Errors
/// `no_output` where it takes nothing, such as a full disk.
pub fn say(text: &str) -> Result<(), Error> {
    is_heard(text).map(|_| ())
}

/// The same, and whether anybody reads still.
pub(crate) fn is_heard(text: &str) -> Result<bool, Error> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        Err(error) => {
            let what = format!("standard output takes nothing: {error}");
            Err(Error::unavailable("no_output", what).with_source(error))
        }
    }
}

/// Says where it serves: a node goes on, whoever listens.
pub fn say_ready(scheme: &str, address: impl std::fmt::Display) {
    if let Err(error) = say(&format!("ready {scheme}://{address}\n")) {
        eprintln!("{error}");
    }
}
