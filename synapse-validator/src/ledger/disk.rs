//! What is asked of the disk, each where a test may put a fault.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write as _},
    path::Path,
};

use super::fault;

/// A file that was opened for writing; where there is none, a new one.
pub(super) fn create(path: &Path) -> io::Result<File> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// A folder for its owner alone; one that is there stays as it is.
pub(super) fn create_folder(path: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// Takes room for so many bytes from the disk, so that none of them can lack it later; what is new is zero.
pub(super) fn reserve(file: &File, bytes: u64) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    match rustix::fs::fallocate(file, rustix::fs::FallocateFlags::empty(), 0, bytes) {
        Ok(()) => return Ok(()),
        Err(error) if error == rustix::io::Errno::OPNOTSUPP => {}
        Err(error) => return Err(error.into()),
    }
    let zeros = [0; 64 << 10];
    let mut at = file.metadata()?.len();
    while at < bytes {
        let some = (bytes - at).min(zeros.len() as u64);
        write_at(
            file,
            at,
            &zeros[..usize::try_from(some).expect("at most the zeros")],
        )?;
        at += some;
    }
    Ok(())
}

/// Writes rows; once this returns they outlive the process.
pub(super) fn append(file: &File, path: &Path, offset: u64, bytes: &[u8]) -> io::Result<()> {
    fault::write(path, offset, bytes, || write_at(file, offset, bytes))
}

/// Stores what was written; once this returns it outlives a power cut.
pub(super) fn sync(file: &File, path: &Path) -> io::Result<()> {
    fault::sync(path, || file.sync_data())
}

/// Stores which files there are.
#[cfg(unix)]
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    fault::sync_folder(folder, || File::open(folder)?.sync_all())
}

#[cfg(not(unix))]
pub(super) fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
}

/// Puts a file in the place of what is there, whole or not at all, and stores it.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let aside = path.with_extension("new");
    let folder = path.parent().ok_or(io::ErrorKind::InvalidFilename)?;
    let replaced = create(&aside)
        .and_then(|mut file| file.write_all(bytes).map(|()| file))
        .and_then(|file| file.sync_all())
        .and_then(|()| fs::rename(&aside, path))
        .and_then(|()| sync_folder(folder));
    if replaced.is_err() {
        let _ = fs::remove_file(&aside);
    }
    replaced
}

/// Puts a file where there is none, whole or not at all, and stores it; `false` where there is one, which stays.
pub(super) fn put(path: &Path, bytes: &[u8]) -> io::Result<bool> {
    let aside = path.with_extension(format!("{}.new", std::process::id()));
    let folder = path.parent().ok_or(io::ErrorKind::InvalidFilename)?;
    let put = create(&aside)
        .and_then(|mut file| file.write_all(bytes).map(|()| file))
        .and_then(|file| file.sync_all())
        .and_then(|()| fs::hard_link(&aside, path));
    let _ = fs::remove_file(&aside);
    match put {
        Ok(()) => sync_folder(folder).map(|()| true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error),
    }
}

/// A file's bytes; `None` where there is none.
pub(super) fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(unix)]
fn write_at(file: &File, offset: u64, bytes: &[u8]) -> io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, bytes, offset)
}

#[cfg(not(unix))]
fn write_at(mut file: &File, offset: u64, bytes: &[u8]) -> io::Result<()> {
    use std::io::{Seek as _, SeekFrom};
    file.seek(SeekFrom::Start(offset))?;
    file.write_all(bytes)
}
