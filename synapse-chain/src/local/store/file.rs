//! Opening the file, and what its failures mean.

use std::{
    fs::{self, File},
    io,
    path::Path,
};

use redb::{Builder, Database};
use synapse_core::{Error, ErrorKind, Retry};

use super::{Faults, corrupt};

/// What redb may keep in memory of the file: the state is in ours already.
const CACHE: usize = 32 * 1024 * 1024;

/// Opens the file, or makes one, and checks every page of it.
pub(super) fn open(path: &Path, faults: &Faults) -> Result<Database, Error> {
    let mut builder = Builder::new();
    builder.set_cache_size(CACHE).set_check_integrity_on_open(true);
    faults.create(&builder, path).map_err(broken)
}

/// How long the file is, where it is there.
pub(super) fn length(path: &Path) -> Result<Option<u64>, Error> {
    match fs::metadata(path) {
        Ok(metadata) => Ok(Some(metadata.len())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(of_file(error.kind()).with_source(error)),
    }
}

/// Removes what a beginning that broke off left.
pub(super) fn remove(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(of_file(error.kind()).with_source(error))
        }
        _ => Ok(()),
    }
}

/// Gives a file its name for good.
pub(super) fn rename(from: &Path, to: &Path) -> Result<(), Error> {
    let renamed = fs::rename(from, to).and_then(|()| {
        let directory = to.parent().unwrap_or(Path::new("."));
        // Elsewhere a directory cannot be opened, and its entries are the system's to keep.
        if cfg!(unix) {
            File::open(directory)?.sync_all()
        } else {
            Ok(())
        }
    });
    renamed.map_err(|error| of_file(error.kind()).with_source(error))
}

/// What redb failed with, as an error of ours.
pub(super) fn broken(error: impl Into<redb::Error>) -> Error {
    let error = error.into();
    match &error {
        redb::Error::Io(io) => of_file(io.kind()).with_source(error),
        redb::Error::DatabaseAlreadyOpen => {
            failed("store_in_use", "is open in another process").with_source(error)
        }
        redb::Error::PreviousIo => failed("store_failed", "failed before").with_source(error),
        redb::Error::Corrupted(_) | redb::Error::UpgradeRequired(_) | redb::Error::RepairAborted => {
            corrupt("its pages do not fit together").with_source(error)
        }
        _ => failed("store_failed", "failed").with_source(error),
    }
}

fn of_file(kind: io::ErrorKind) -> Error {
    match kind {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            failed("disk_full", "found no room on the disk").with_hint("make room, and open the chain again")
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            failed("store_unwritable", "may not write its file")
                .with_hint("give this user the right to write chain.redb")
        }
        io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => {
            corrupt("it is no store, or a piece of one")
        }
        _ => failed("store_failed", "failed")
            .with_hint("look for faults of the disk, and open the chain again"),
    }
}

fn failed(code: &'static str, why: &str) -> Error {
    Error::new(ErrorKind::Unavailable, code, format!("the chain's store {why}")).with_retry(Retry::Never)
}
