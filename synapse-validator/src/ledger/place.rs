//! Whether the ledger's files are still where they were opened: the system lets whoever deletes or renames them go on, and
//! tells nobody who writes to them.

use std::{
    fs::{self, File, Metadata},
    io::ErrorKind,
    path::{Path, PathBuf},
};

use synapse_core::Error;

use super::{
    error,
    segment::{self, Segment},
};

/// The ledger's directory and the folder of its segments, open so that nothing that is made later gets their numbers.
#[derive(Debug)]
pub(super) struct Place(Vec<(PathBuf, File)>);

impl Place {
    /// # Errors
    /// `ledger_disk`.
    pub(super) fn open(directory: &Path) -> Result<Self, Error> {
        // Elsewhere folders are not opened, and files that are open are not deleted.
        if !cfg!(unix) {
            return Ok(Self(Vec::new()));
        }
        let folders = [directory.to_owned(), segment::folder(directory)].map(|path| {
            let opened = File::open(&path).map_err(|error| error::disk(&path, "opened", error))?;
            Ok((path, opened))
        });
        folders.into_iter().collect::<Result<_, Error>>().map(Self)
    }

    /// Looks whether whoever reads the ledger finds what is written to this segment.
    ///
    /// # Errors
    /// `ledger_moved`, for an operator to read.
    pub(super) fn check(&self, segment: &Segment) -> Result<(), Error> {
        let folders = self.0.iter().map(|(path, folder)| (path, folder));
        for (path, opened) in folders.chain([(&segment.path, &*segment.file)]) {
            let found = match fs::metadata(path) {
                Ok(found) => found,
                Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                    return Err(error::moved(path, "it was deleted or renamed"));
                }
                // Nobody can tell.
                Err(_) => continue,
            };
            if opened.metadata().is_ok_and(|opened| !is_same(&opened, &found)) {
                return Err(error::moved(path, "something else was put in its place"));
            }
        }
        Ok(())
    }
}

/// Whether a file has no name any more, so that nobody can read it once it is closed.
#[cfg(unix)]
pub(super) fn is_deleted(file: &File) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    file.metadata().is_ok_and(|found| found.nlink() == 0)
}

#[cfg(not(unix))]
pub(super) fn is_deleted(_: &File) -> bool {
    false
}

#[cfg(unix)]
fn is_same(one: &Metadata, other: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

#[cfg(not(unix))]
fn is_same(_: &Metadata, _: &Metadata) -> bool {
    true
}
