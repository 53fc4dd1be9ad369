//! A power cut, for tests: with the feature `failpoints` only.

#[cfg(not(feature = "failpoints"))]
pub(super) use self::none::{begun, folder_synced, skips, synced};
#[cfg(feature = "failpoints")]
pub(super) use self::some::{begun, folder_synced, skips, synced};
#[cfg(feature = "failpoints")]
pub use self::some::{cut_power, skip_syncs};

#[cfg(not(feature = "failpoints"))]
mod none {
    use std::path::Path;

    pub(in crate::state) fn begun(_: &Path) {}
    pub(in crate::state) fn synced(_: &Path) {}
    pub(in crate::state) fn folder_synced(_: &Path) {}
    pub(in crate::state) fn skips(_: &Path) -> bool {
        false
    }
}

#[cfg(feature = "failpoints")]
mod some {
    use std::{
        collections::{BTreeMap, BTreeSet},
        fs,
        path::{Path, PathBuf},
        sync::{Mutex, MutexGuard, PoisonError},
    };

    /// What is not on the disk yet.
    #[derive(Default)]
    struct Disk {
        /// Files whose bytes are not.
        unsynced: BTreeSet<PathBuf>,
        /// What is there instead of what was renamed.
        before: BTreeMap<PathBuf, Option<Vec<u8>>>,
        /// Folders in which nothing is ever synced.
        skipped: BTreeSet<PathBuf>,
    }

    static DISK: Mutex<Disk> = Mutex::new(Disk {
        unsynced: BTreeSet::new(),
        before: BTreeMap::new(),
        skipped: BTreeSet::new(),
    });

    /// Takes back what a power cut takes from the state in `dir`: what was renamed and whose folder was not synced is what
    /// it was, and a file whose bytes were not is empty.
    ///
    /// # Panics
    /// Where the disk fails.
    pub fn cut_power(dir: impl AsRef<Path>) {
        let mut disk = disk();
        disk.before.retain(|path, before| {
            if !path.starts_with(dir.as_ref()) {
                return true;
            }
            match before {
                Some(bytes) => fs::write(path, bytes).expect("a test's disk can be written"),
                None => drop(fs::remove_file(path)),
            }
            false
        });
    }

    /// From now on nothing in `dir` is synced.
    pub fn skip_syncs(dir: impl AsRef<Path>) {
        disk().skipped.insert(dir.as_ref().to_owned());
    }

    pub(in crate::state) fn begun(path: &Path) {
        let mut disk = disk();
        disk.unsynced.insert(path.to_owned());
        disk.before
            .entry(path.to_owned())
            .or_insert_with(|| fs::read(path).ok());
    }

    pub(in crate::state) fn synced(path: &Path) {
        disk().unsynced.remove(path);
    }

    pub(in crate::state) fn folder_synced(path: &Path) {
        let mut disk = disk();
        if disk.unsynced.contains(path) {
            disk.before.insert(path.to_owned(), Some(Vec::new()));
        } else {
            disk.before.remove(path);
        }
    }

    pub(in crate::state) fn skips(path: &Path) -> bool {
        disk().skipped.iter().any(|dir| path.starts_with(dir))
    }

    fn disk() -> MutexGuard<'static, Disk> {
        DISK.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
