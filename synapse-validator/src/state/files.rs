//! One file an epoch, replaced whole or not at all.

use std::{
    collections::BTreeSet,
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind as Io, Read as _, Write as _},
    path::{Path, PathBuf},
};

use serde::Deserialize;
use serde_json::Value;
use synapse_core::{EpochId, Error, ErrorKind};

use super::{EpochRecord, VERSION, fault, header::check_version};

/// The code of a file that is not what was written.
pub(super) const CORRUPT: &str = "epoch_corrupt";
/// No file of ours is larger: 16,384 miners of 64 callers each are less.
const MOST_BYTES: u64 = 1 << 30;
/// The ending of what is being written.
const ASIDE: &str = "new";

/// Where the epochs are.
pub(super) fn epochs(dir: &Path) -> PathBuf {
    dir.join("epochs")
}

/// Which epochs there are.
pub(super) fn list(dir: &Path) -> Result<BTreeSet<EpochId>, Error> {
    let folder = epochs(dir);
    let entries = match fs::read_dir(&folder) {
        Err(error) if error.kind() == Io::NotFound => return Ok(BTreeSet::new()),
        entries => entries.map_err(|error| unreadable(&folder, error))?,
    };
    let mut found = BTreeSet::new();
    for entry in entries {
        let name = entry.map_err(|error| unreadable(&folder, error))?.file_name();
        let number = name.to_str().and_then(|name| name.strip_suffix(".json"));
        found.extend(number.and_then(|number| number.parse().ok()).map(EpochId));
    }
    Ok(found)
}

/// Removes what was being written when the process ended.
pub(super) fn sweep(dir: &Path) -> Result<(), Error> {
    let folder = epochs(dir);
    let entries = fs::read_dir(&folder).map_err(|error| unreadable(&folder, error))?;
    for entry in entries.flatten() {
        let path = entry.path();
        if path.extension().is_some_and(|ending| ending == ASIDE) {
            fs::remove_file(&path).map_err(|error| unwritable(&path, error))?;
        }
    }
    Ok(())
}

/// One epoch, in the shape of this version; `None` where it is not there.
///
/// # Errors
/// `state_newer`, [`CORRUPT`], `state_unreadable`.
pub(super) fn read(dir: &Path, epoch: EpochId) -> Result<Option<EpochRecord>, Error> {
    let path = path(dir, epoch);
    let Some(bytes) = bytes(&path)? else {
        return Ok(None);
    };
    let corrupt = |why: String| Error::broken(CORRUPT, format!("{} cannot be read: {why}", path.display()));
    let of_json = |error: serde_json::Error| corrupt(error.to_string());
    let record = match serde_json::from_slice::<EpochRecord>(&bytes) {
        Ok(record) if record.version == VERSION => record,
        // An older shape, a newer one, or none.
        _ => {
            let value: Value = serde_json::from_slice(&bytes).map_err(of_json)?;
            let version = value
                .get("version")
                .and_then(Value::as_u64)
                .and_then(|version| u32::try_from(version).ok());
            let version = version.ok_or_else(|| corrupt("it has no version".to_owned()))?;
            check_version(version, &path)?;
            EpochRecord::deserialize(migrated(value, version)).map_err(of_json)?
        }
    };
    if record.epoch() != epoch {
        return Err(corrupt(format!("it is of epoch {}", record.epoch())));
    }
    Ok(Some(record))
}

/// Writes an epoch in its file's place.
pub(super) fn write(dir: &Path, record: &EpochRecord) -> Result<(), Error> {
    let path = path(dir, record.epoch());
    let bytes = serde_json::to_vec(record).map_err(|error| {
        Error::internal("state_unwritable", "an epoch cannot be written as JSON").with_source(error)
    })?;
    replace(&path, &bytes)
}

/// Puts `bytes` in the place of what is at `path`. Once this returns they outlive a power cut.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let aside = aside(path);
    fault::begun(path);
    let replaced = write_aside(&aside, bytes)
        .and_then(|file| sync(&file, path))
        .and_then(|()| fs::rename(&aside, path))
        .and_then(|()| sync_folder(path));
    replaced.map_err(|error| {
        let _ = fs::remove_file(&aside);
        unwritable(path, error)
    })
}

/// Keeps what cannot be read, under another name.
pub(super) fn set_aside(dir: &Path, epoch: EpochId) -> Result<(), Error> {
    let path = path(dir, epoch);
    fs::rename(&path, path.with_extension("json.corrupt")).map_err(|error| unwritable(&path, error))
}

/// Forgets an epoch.
pub(super) fn remove(dir: &Path, epoch: EpochId) -> Result<(), Error> {
    let path = path(dir, epoch);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != Io::NotFound => Err(unwritable(&path, error)),
        _ => Ok(()),
    }
}

/// What is in a file; `None` where there is none.
pub(super) fn bytes(path: &Path) -> Result<Option<Vec<u8>>, Error> {
    let mut bytes = Vec::new();
    match File::open(path).and_then(|file| file.take(MOST_BYTES).read_to_end(&mut bytes)) {
        Ok(_) => Ok(Some(bytes)),
        Err(error) if error.kind() == Io::NotFound => Ok(None),
        Err(error) => Err(unreadable(path, error)),
    }
}

/// What an older version wrote, in the shape of this one.
fn migrated(mut record: Value, from: u32) -> Value {
    if let Some(fields) = record.as_object_mut() {
        if from < 2 {
            // Version 1 did not say when a stage was reached: it was not before the last block that was seen.
            let last = fields.get("evidence").and_then(|evidence| evidence.get("to"));
            fields.insert("since".to_owned(), last.cloned().unwrap_or(Value::from(0)));
        }
        fields.insert("version".to_owned(), Value::from(VERSION));
    }
    record
}

fn path(dir: &Path, epoch: EpochId) -> PathBuf {
    epochs(dir).join(format!("{epoch:010}.json"))
}

fn aside(path: &Path) -> PathBuf {
    path.with_extension(format!("json.{ASIDE}"))
}

/// A new file: what is there may be a link to a file that is not ours to write to.
fn write_aside(aside: &Path, bytes: &[u8]) -> io::Result<File> {
    match fs::remove_file(aside) {
        Err(error) if error.kind() != Io::NotFound => return Err(error),
        _ => {}
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(aside)?;
    file.write_all(bytes)?;
    Ok(file)
}

/// The bytes of what will be at `path` are on the disk before it has that name.
fn sync(file: &File, path: &Path) -> io::Result<()> {
    if !fault::skips(path) {
        file.sync_all()?;
        fault::synced(path);
    }
    Ok(())
}

/// A rename is durable once its folder is.
#[cfg(unix)]
fn sync_folder(path: &Path) -> io::Result<()> {
    if let Some(folder) = path.parent().filter(|_| !fault::skips(path)) {
        File::open(folder)?.sync_all()?;
        fault::folder_synced(path);
    }
    Ok(())
}

#[cfg(not(unix))]
fn sync_folder(path: &Path) -> io::Result<()> {
    fault::folder_synced(path);
    Ok(())
}

fn unreadable(path: &Path, error: io::Error) -> Error {
    Error::new(
        ErrorKind::Unavailable,
        "state_unreadable",
        format!("{} cannot be read", path.display()),
    )
    .with_hint("check the disk, and that this user may read there")
    .with_source(error)
}

fn unwritable(path: &Path, error: io::Error) -> Error {
    let (why, hint) = match error.kind() {
        Io::StorageFull | Io::QuotaExceeded => ("the disk is full", "make room on it"),
        _ => (
            "it cannot be written",
            "check the disk, and that this user may write there",
        ),
    };
    Error::new(
        ErrorKind::Unavailable,
        "state_unwritable",
        format!("{} was not stored: {why}", path.display()),
    )
    .with_hint(hint)
    .with_source(error)
}
