//! Where a node keeps what outlives it.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, ErrorKind as Io, Read as _, Write as _},
    path::{Path, PathBuf},
};

use crate::{Error, ErrorKind, Retry};

/// The file that says whose the directory is.
const SIGN: &str = "lock";

/// A node's directory, which no other process has while this value lives.
///
/// On Unix the lock is on the directory itself, elsewhere on the file `lock` in it. The file says which process of which
/// host has the directory; on Unix it may be removed, and nothing comes of it. The system lets go of the lock when the
/// process ends, however it ends; that the file stays means nothing.
///
/// ```
/// use synapse_core::DataDir;
///
/// # let folder = tempfile::tempdir()?;
/// # let folder = folder.path().join("validator");
/// let data = DataDir::open(&folder)?;
/// assert_eq!(DataDir::open(&folder).unwrap_err().code(), "data_dir_locked");
/// data.replace("seen", b"42")?;
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
    /// `data_dir_locked`, which names the process that has it; `data_dir_not_a_directory`, `data_dir_unwritable`,
    /// `data_dir_full`, and `data_dir_unlockable` where the file system knows no locks.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, Error> {
        let path = path.into();
        create(&path).map_err(|error| unusable(&path, error))?;
        let lock = open_lock(&path).map_err(|error| unusable(&path, error))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(locked(&path)),
            Err(TryLockError::Error(error)) => return Err(unlockable(&path, error)),
        }
        sign(&path, &lock).map_err(|error| unusable(&path, error))?;
        Ok(Self { path, lock })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Puts a file of this name in the old one's place, whole or not at all; once this returns, it outlives a power cut.
    /// Waits for the disk.
    ///
    /// # Errors
    /// `data_dir_unwritable`, `data_dir_full`. One of the two files is there then, whole; most often the old one.
    pub fn replace(&self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        let (place, aside) = (self.path.join(name), self.path.join(format!("{name}.new")));
        let replaced = write_aside(&aside, bytes)
            .and_then(|file| file.sync_all())
            .and_then(|()| fs::rename(&aside, &place))
            .and_then(|()| sync(&self.path));
        replaced.map_err(|error| {
            let _ = fs::remove_file(&aside);
            unusable(&self.path, error)
        })
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

#[cfg(unix)]
fn open_lock(path: &Path) -> io::Result<File> {
    File::open(path)
}

#[cfg(not(unix))]
fn open_lock(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    options.open(path.join(SIGN))
}

/// Writes whose the directory is, for whoever comes next to name.
#[cfg(unix)]
fn sign(path: &Path, _: &File) -> io::Result<()> {
    let aside = path.join("lock.new");
    let text = format!("process {} on host {}\n", std::process::id(), host());
    let written = write_aside(&aside, text.as_bytes()).and_then(|_| fs::rename(&aside, path.join(SIGN)));
    if written.is_err() {
        let _ = fs::remove_file(&aside);
    }
    written
}

#[cfg(not(unix))]
fn sign(_: &Path, mut lock: &File) -> io::Result<()> {
    lock.set_len(0)?;
    writeln!(lock, "process {}", std::process::id())
}

/// A new file, for its owner alone: what is there may be a link to a file that is not ours to write to.
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

/// A rename lasts once its directory does.
#[cfg(unix)]
fn sync(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

#[cfg(not(unix))]
fn sync(_: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(unix)]
fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// What the file says, where it says it as we do: it may be anybody's.
fn read_sign(path: &Path) -> Option<String> {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    {
        use rustix::fs::OFlags;
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
        std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, flags.bits().cast_signed());
    }
    let mut text = String::new();
    let file = options.open(path.join(SIGN)).ok()?;
    file.take(128).read_to_string(&mut text).ok()?;
    let line = text.strip_suffix('\n')?;
    let plain = line.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
    (plain && line.starts_with("process ")).then(|| line.to_owned())
}

fn locked(path: &Path) -> Error {
    // Its owner may have only just locked it, and where locks forbid reading nobody can say.
    let owner = read_sign(path).map_or_else(|| "another process".to_owned(), |owner| format!("the {owner}"));
    Error::unavailable(
        "data_dir_locked",
        format!("the data directory {} is in use by {owner}", path.display()),
    )
    .with_retry(Retry::Never)
    .with_hint("stop that process, or give this one a directory of its own")
}

fn unlockable(path: &Path, error: io::Error) -> Error {
    Error::new(
        ErrorKind::Unsupported,
        "data_dir_unlockable",
        format!("the data directory {} could not be locked", path.display()),
    )
    .with_hint("put it on a local disk")
    .with_source(error)
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
