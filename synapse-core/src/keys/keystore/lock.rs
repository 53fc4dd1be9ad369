//! One change to a keystore at a time.

use std::{
    fs::{File, TryLockError},
    path::Path,
    thread,
    time::Duration,
};

use crate::{Error, keys::files};

/// A change takes a fraction of a second, so that dozens may wait for each other.
const TRIES: u32 = 500;
const PAUSE: Duration = Duration::from_millis(20);

/// What keeps every other thread and process from changing the keystore. Reading goes on: files change whole.
pub(super) struct Lock(File);

impl Lock {
    /// Waits for its turn, for ten seconds at most.
    ///
    /// # Errors
    /// `keystore_busy`, `file_unwritable`.
    pub(super) fn take(keystore: &Path) -> Result<Self, Error> {
        let path = keystore.join(".lock");
        let file = files::open_to_lock(&path)?;
        for _ in 0..TRIES {
            match file.try_lock() {
                Ok(()) => return Ok(Self(file)),
                Err(TryLockError::WouldBlock) => thread::sleep(PAUSE),
                Err(TryLockError::Error(error)) => return Err(files::unwritable(&path, error)),
            }
        }
        Err(Error::unavailable(
            "keystore_busy",
            format!(
                "the keystore {} is being changed by another process",
                keystore.display()
            ),
        )
        .with_hint("try again once that process is done"))
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing the file is not enough while a process that is being started still shares it.
        let _ = self.0.unlock();
    }
}
