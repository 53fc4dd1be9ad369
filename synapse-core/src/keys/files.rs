//! Files that their owner alone may read, written so that a crash leaves the old one or the new one.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, ErrorKind as Io, Read as _, Write as _},
    path::{Path, PathBuf},
};

use zeroize::Zeroizing;

use super::permissions::check_secret;
use crate::{Error, ErrorKind};

/// What a symbolic link in a file's place is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Links {
    Follow,
    Refuse,
}

/// Reads a file whole, or nothing where there is none.
///
/// # Errors
/// `insecure_permissions` and `foreign_owner` with the command that mends them, `not_a_file`, `file_too_large` beyond
/// `limit` bytes, and `file_unreadable`.
pub(super) fn read(path: &Path, limit: usize, links: Links) -> Result<Option<Zeroizing<Vec<u8>>>, Error> {
    let unreadable = |error: io::Error| {
        Error::new(
            ErrorKind::Forbidden,
            "file_unreadable",
            format!("{} could not be read", path.display()),
        )
        .with_source(error)
    };
    let found = match links {
        Links::Follow => fs::metadata(path),
        Links::Refuse => fs::symlink_metadata(path),
    };
    // Looked at first, since opening a pipe would wait for a writer.
    match found {
        Ok(found) => check_file(path, &found)?,
        Err(error) if error.kind() == Io::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(error)),
    }
    let file = open(path, links).map_err(unreadable)?;
    // And what was opened may be another than what was looked at.
    let opened = file.metadata().map_err(unreadable)?;
    check_file(path, &opened)?;
    check_secret(path, &opened)?;
    // Grown, it would leave its beginning where it was before.
    let mut bytes = Zeroizing::new(Vec::with_capacity(limit + 1));
    let most = u64::try_from(limit).expect("a limit of a few kilobytes") + 1;
    file.take(most).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() > limit {
        return Err(Error::new(
            ErrorKind::TooLarge,
            "file_too_large",
            format!(
                "{} has more than the {limit} bytes that such a file has",
                path.display()
            ),
        ));
    }
    Ok(Some(bytes))
}

/// Writes a file that was not there, or says that one was. Nobody else writes in the folder meanwhile, as with
/// [`replace`].
pub(super) fn create(path: &Path, bytes: &[u8]) -> Result<bool, Error> {
    let written = write_aside(path, bytes)?;
    let moved = move_to_free(&written, path);
    if moved.is_err() {
        let _ = fs::remove_file(&written);
    }
    match moved {
        Ok(()) => sync_name(path).map(|()| true),
        Err(error) if error.kind() == Io::AlreadyExists => Ok(false),
        Err(error) => Err(unwritable(path, error)),
    }
}

/// Writes a file in another's place.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let written = write_aside(path, bytes)?;
    if let Err(error) = fs::rename(&written, path) {
        let _ = fs::remove_file(&written);
        return Err(unwritable(path, error));
    }
    sync_name(path)
}

/// Opens a file that has nothing in it but is there to be locked.
pub(super) fn open_to_lock(path: &Path) -> Result<File, Error> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
        options.mode(0o600).custom_flags(flags.bits().cast_signed());
    }
    options.open(path).map_err(|error| unwritable(path, error))
}

/// Makes a folder that its owner alone may enter, and those above it.
pub(super) fn create_folder(path: &Path) -> Result<(), Error> {
    let missing: Vec<_> = path.ancestors().take_while(|folder| !folder.exists()).collect();
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path).map_err(|error| unwritable(path, error))?;
    missing.into_iter().try_for_each(sync_name)
}

/// Writes beside `path`, through to the disk, and says where. What a crash left there is written anew.
fn write_aside(path: &Path, bytes: &[u8]) -> Result<PathBuf, Error> {
    let name = path.file_name().expect("a key's file has a name");
    let aside = path.with_file_name(format!(".{}.new", name.display()));
    match fs::remove_file(&aside) {
        Err(error) if !matches!(error.kind(), Io::NotFound | Io::NotADirectory) => {
            return Err(unwritable(path, error));
        }
        _ => {}
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&aside).map_err(|error| unwritable(path, error))?;
    if let Err(error) = file.write_all(bytes).and_then(|()| file.sync_all()) {
        let _ = fs::remove_file(&aside);
        return Err(unwritable(path, error));
    }
    Ok(aside)
}

/// Moves a file to where there is none.
fn move_to_free(from: &Path, to: &Path) -> io::Result<()> {
    #[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
    {
        use rustix::{
            fs::{CWD, RenameFlags, renameat_with},
            io::Errno,
        };
        match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
            // This system, or this file system, knows no such thing.
            Err(Errno::NOSYS | Errno::INVAL | Errno::NOTSUP) => {}
            moved => return Ok(moved?),
        }
    }
    fs::hard_link(from, to)?;
    // What is left over takes room, and nothing else.
    let _ = fs::remove_file(from);
    Ok(())
}

/// Makes the name of a file or folder last, which is in the folder above it.
fn sync_name(path: &Path) -> Result<(), Error> {
    #[cfg(unix)]
    {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))
            .and_then(|folder| folder.sync_all())
            .map_err(|error| {
                Error::unavailable(
                    "file_not_durable",
                    format!("{} is there, but a power cut may undo that", path.display()),
                )
                .with_hint("find out what is wrong with the disk; the key is in its file until then")
                .with_source(error)
            })?;
    }
    #[cfg(not(unix))]
    let _ = path;
    Ok(())
}

fn open(path: &Path, links: Links) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    {
        use rustix::fs::OFlags;
        use std::os::unix::fs::OpenOptionsExt as _;
        let mut flags = OFlags::NONBLOCK;
        flags.set(OFlags::NOFOLLOW, links == Links::Refuse);
        options.custom_flags(flags.bits().cast_signed());
    }
    #[cfg(not(unix))]
    let _ = links;
    options.open(path)
}

fn check_file(path: &Path, found: &fs::Metadata) -> Result<(), Error> {
    if found.is_file() {
        return Ok(());
    }
    let kind = if found.is_dir() {
        "a directory"
    } else if found.is_symlink() {
        "a symbolic link"
    } else {
        "no regular file"
    };
    Err(
        Error::invalid("not_a_file", format!("{} is {kind}", path.display()))
            .with_hint("put the file itself there"),
    )
}

pub(super) fn unwritable(path: &Path, error: io::Error) -> Error {
    let why = match error.kind() {
        Io::StorageFull | Io::QuotaExceeded => ": the disk is full",
        Io::PermissionDenied | Io::ReadOnlyFilesystem => ": it may not be written",
        _ => "",
    };
    Error::new(
        ErrorKind::Forbidden,
        "file_unwritable",
        format!("{} could not be written{why}", path.display()),
    )
    .with_source(error)
}
