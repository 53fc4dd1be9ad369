//! Where a node keeps what outlives it.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, ErrorKind as Io, Read as _, Seek as _, Write as _},
    path::{Path, PathBuf},
};

use crate::{Error, ErrorKind, Retry};

/// A node's directory, which no other process has while this value lives.
///
/// The lock is on the file `lock` in it, which also says the process's id. The system lets go of it when the process
/// ends, however it ends; that the file stays means nothing.
///
/// ```
/// use synapse_core::DataDir;
///
/// # let folder = tempfile::tempdir()?;
/// # let folder = folder.path().join("validator");
/// let data = DataDir::open(&folder)?;
/// assert_eq!(DataDir::open(&folder).unwrap_err().code(), "data_dir_locked");
/// std::fs::write(data.path().join("seen"), "…")?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    lock: File,
}

impl DataDir {
    /// Opens the directory and locks it; makes it, for its owner alone, where there is none.
    ///
    /// # Errors
    /// `data_dir_locked`, which names the process that has it; `data_dir_not_a_directory`, `data_dir_unwritable` and
    /// `data_dir_full`.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, Error> {
        let path = path.into();
        create(&path).map_err(|error| unusable(&path, error))?;
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut lock = options
            .open(path.join("lock"))
            .map_err(|error| unusable(&path, error))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(locked(&path, lock)),
            Err(TryLockError::Error(error)) => return Err(unusable(&path, error)),
        }
        sign(&mut lock).map_err(|error| unusable(&path, error))?;
        Ok(Self { path, lock })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for DataDir {
    fn drop(&mut self) {
        // Closing the file is not enough while a process that is being started still shares it.
        let _ = self.lock.unlock();
    }
}

fn create(path: &Path) -> io::Result<()> {
    if fs::metadata(path).is_ok_and(|found| !found.is_dir()) {
        return Err(Io::NotADirectory.into());
    }
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// Writes this process's id, for whoever comes next to name.
fn sign(lock: &mut File) -> io::Result<()> {
    lock.set_len(0)?;
    lock.rewind()?;
    writeln!(lock, "{}", std::process::id())
}

fn locked(path: &Path, lock: File) -> Error {
    let mut text = String::new();
    // Not to be read where locks forbid reading too, and empty where its owner has only just locked it.
    let _ = lock.take(32).read_to_string(&mut text);
    let owner = match text.trim().parse::<u32>() {
        Ok(pid) => format!("the process {pid}"),
        Err(_) => "another process".to_owned(),
    };
    Error::unavailable(
        "data_dir_locked",
        format!("the data directory {} is in use by {owner}", path.display()),
    )
    .with_retry(Retry::Never)
    .with_hint("stop that process, or give this one a directory of its own")
}

fn unusable(path: &Path, error: io::Error) -> Error {
    let (code, why, hint) = match error.kind() {
        Io::NotADirectory => ("data_dir_not_a_directory", "is no directory", "name another"),
        Io::StorageFull | Io::QuotaExceeded => ("data_dir_full", "is on a full disk", "make room on it"),
        _ => (
            "data_dir_unwritable",
            "cannot be written",
            "give this user the right to write there, or name another",
        ),
    };
    Error::new(
        ErrorKind::Forbidden,
        code,
        format!("the data directory {} {why}", path.display()),
    )
    .with_hint(hint)
    .with_source(error)
}
