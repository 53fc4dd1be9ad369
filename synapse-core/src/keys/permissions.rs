//! Who may read a secret's file, and who may put one in its place.

use std::{fs, path::Path};

use crate::Error;

/// Refuses a file that others than its owner may open, or whose owner is neither this user nor root.
///
/// # Errors
/// `insecure_permissions` with the command that mends them, `foreign_owner`.
#[cfg(unix)]
pub(super) fn check_secret(path: &Path, found: &fs::Metadata) -> Result<(), Error> {
    check_owner(path, found)?;
    let mode = mode(found);
    if mode & 0o077 == 0 {
        return Ok(());
    }
    Err(insecure(format!(
        "{} is open to others than its owner (mode {mode:04o})",
        path.display()
    ))
    .with_hint(format!("run: chmod 600 {}", quoted(path))))
}

/// Refuses a folder in which others could put a file of theirs in a key's place; where there is none, there is nothing
/// to refuse.
///
/// # Errors
/// As [`check_secret`].
#[cfg(unix)]
pub(super) fn check_folder(path: &Path) -> Result<(), Error> {
    // What cannot be looked at cannot be read from either, which says so.
    let Ok(found) = fs::metadata(path) else {
        return Ok(());
    };
    check_owner(path, &found)?;
    let mode = mode(&found);
    if mode & 0o022 == 0 {
        return Ok(());
    }
    Err(insecure(format!(
        "others than its owner may write to {} (mode {mode:04o})",
        path.display()
    ))
    .with_hint(format!("run: chmod go-w {}", quoted(path))))
}

#[cfg(unix)]
fn check_owner(path: &Path, found: &fs::Metadata) -> Result<(), Error> {
    let owner = std::os::unix::fs::MetadataExt::uid(found);
    let ours = rustix::process::geteuid().as_raw();
    if owner == ours || owner == 0 {
        return Ok(());
    }
    Err(Error::new(
        crate::ErrorKind::Forbidden,
        "foreign_owner",
        format!(
            "{} is the user {owner}'s, and this process is the user {ours}'s",
            path.display()
        ),
    )
    .with_hint(format!(
        "if what is in it is yours, run: chown {ours} {}",
        quoted(path)
    )))
}

#[cfg(unix)]
fn mode(found: &fs::Metadata) -> u32 {
    std::os::unix::fs::MetadataExt::mode(found) & 0o777
}

#[cfg(unix)]
fn insecure(message: String) -> Error {
    Error::new(crate::ErrorKind::Forbidden, "insecure_permissions", message)
}

/// The path as a shell takes it.
#[cfg(unix)]
fn quoted(path: &Path) -> String {
    let path = path.display().to_string();
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "/._-+".contains(letter);
    if path.chars().all(plain) {
        return path;
    }
    format!("'{}'", path.replace('\'', r"'\''"))
}

#[cfg(not(unix))]
pub(super) fn check_secret(_: &Path, _: &fs::Metadata) -> Result<(), Error> {
    Ok(())
}

#[cfg(not(unix))]
pub(super) fn check_folder(_: &Path) -> Result<(), Error> {
    Ok(())
}
