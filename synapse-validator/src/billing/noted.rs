//! The prices that rows refer to, kept beside them.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    path::Path,
};

use synapse_core::Error;

use super::PriceBook;
use crate::ledger::UnixMillis;

impl PriceBook {
    /// Notes this book in `file`, in place of the one that is noted there. So what a version said that rows refer to is
    /// known when the operator's own file is another, and no restart changes it.
    ///
    /// # Errors
    /// `price_version_changed` where it says something else of a version that is or was in effect, and where the file
    /// cannot be read or written.
    pub fn note(&self, file: impl AsRef<Path>, now: UnixMillis) -> Result<(), Error> {
        let file = file.as_ref();
        if file.exists() {
            let noted = Self::read(file)?;
            noted.check_successor(self, now)?;
            if noted == *self {
                return Ok(());
            }
        }
        // Nothing costs anything, so that no row will refer to it; what is noted stays, since rows may.
        if *self == Self::free() {
            return Ok(());
        }
        write(file, &self.to_string()).map_err(|error| {
            Error::unavailable(
                "price_book_unwritten",
                format!("the prices could not be noted in {}: {error}", file.display()),
            )
            .with_hint("check the disk, and that this user may write there")
        })
    }
}

/// All of the file or nothing of it, whatever happens.
fn write(path: &Path, text: &str) -> io::Result<()> {
    let new = path.with_extension("new");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&new)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}
