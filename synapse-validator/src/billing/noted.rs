//! The prices that rows refer to, kept beside them.

use std::path::Path;

use synapse_core::Error;

use super::PriceBook;
use crate::ledger::{UnixMillis, replace_file};

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
        replace_file(file, self.to_string().as_bytes()).map_err(|error| {
            Error::unavailable(
                "price_book_unwritten",
                format!("the prices could not be noted in {}: {error}", file.display()),
            )
            .with_hint("check the disk, and that this user may write there")
        })
    }
}
