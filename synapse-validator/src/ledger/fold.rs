//! Gives rows up that are older than an operator keeps them, and keeps what they add up to.

use std::{fs, path::Path};

use synapse_core::Error;

use super::{
    UnixMillis, disk, error, segment,
    stored::{self, Rows, Wanted},
};

/// Folds every segment that is over and whose last request ended before this moment.
///
/// # Errors
/// `ledger_disk`, `ledger_corrupt`. What was folded before is.
pub(super) fn fold(directory: &Path, before: UnixMillis) -> Result<(), Error> {
    for (number, files) in segment::list(directory)? {
        if !files.totals {
            continue;
        }
        let totals = segment::totals_path(directory, number);
        let Some(mut sealed) = stored::read_head(&totals)? else {
            continue;
        };
        let is_old = sealed.summary.times.is_none_or(|(_, last)| last < before);
        if sealed.rows == Rows::Kept && is_old {
            // Its rows go, so its sums must be good.
            let whole = stored::read_totals(&totals, &Wanted::default())?;
            sealed = whole.unwrap_or(sealed);
            sealed.rows = Rows::Folded;
            stored::write_totals(&totals, &sealed)?;
        }
        // A process may have ended between the two.
        if sealed.rows == Rows::Folded && files.rows {
            let path = segment::path(directory, number);
            fs::remove_file(&path)
                .and_then(|()| disk::sync_folder(&segment::folder(directory)))
                .map_err(|error| error::disk(&path, "removed", error))?;
        }
    }
    Ok(())
}
