//! A disk that fails, for tests: with the feature `failpoints` only.

#[cfg(not(feature = "failpoints"))]
pub(super) use self::none::{sync, sync_folder, write};
#[cfg(feature = "failpoints")]
pub use self::some::{Fault, cut_power, set_fault};
#[cfg(feature = "failpoints")]
pub(super) use self::some::{sync, sync_folder, write};

#[cfg(not(feature = "failpoints"))]
mod none {
    use std::{io, path::Path};

    pub(in crate::ledger) fn write(
        _: &Path,
        _: u64,
        _: &[u8],
        really: impl FnOnce() -> io::Result<()>,
    ) -> io::Result<()> {
        really()
    }

    pub(in crate::ledger) fn sync(_: &Path, really: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        really()
    }

    pub(in crate::ledger) fn sync_folder(
        _: &Path,
        really: impl FnOnce() -> io::Result<()>,
    ) -> io::Result<()> {
        really()
    }
}

#[cfg(feature = "failpoints")]
mod some {
    use std::{
        collections::BTreeMap,
        fs::{self, File, OpenOptions},
        io::{self, Read as _, Seek as _, SeekFrom, Write as _},
        path::{Path, PathBuf},
        sync::{Mutex, MutexGuard, PoisonError},
    };

    /// Bytes that a disk stores whole or not at all.
    const SECTOR: u64 = 512;

    /// What is wrong with the disk under a ledger.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    #[non_exhaustive]
    pub enum Fault {
        /// Nothing is.
        None,
        /// What is written gets nowhere, and nobody hears of it.
        LosesWrites,
        /// What is to be stored is not, and nobody hears of it.
        SkipsSyncs,
        /// Storing fails with an input/output error.
        FailsSyncs,
        /// There is no room, and writing fails.
        FailsWrites,
    }

    /// What sectors held before they were written to, by file and sector.
    type Sectors = BTreeMap<(PathBuf, u64), Vec<u8>>;

    struct Disk {
        faults: BTreeMap<PathBuf, Fault>,
        /// Of what nobody asked to store yet.
        written: Sectors,
        /// Of what is being stored, by when that began.
        storing: BTreeMap<u64, Sectors>,
        began: u64,
    }

    static DISK: Mutex<Disk> = Mutex::new(Disk {
        faults: BTreeMap::new(),
        written: BTreeMap::new(),
        storing: BTreeMap::new(),
        began: 0,
    });

    /// From now on the disk has this fault for the ledger in `directory`.
    pub fn set_fault(directory: impl AsRef<Path>, fault: Fault) {
        disk().faults.insert(directory.as_ref().to_owned(), fault);
    }

    /// Copies the ledger in `directory` as a power cut at this moment would leave it: of the sectors that were written to
    /// and not stored, each is the new or the old one, as `keeps` says.
    ///
    /// # Panics
    /// Where the disk of the test fails.
    pub fn cut_power(directory: impl AsRef<Path>, copy: impl AsRef<Path>, mut keeps: impl FnMut() -> bool) {
        let (directory, copy) = (directory.as_ref(), copy.as_ref());
        // No write and no sync goes on meanwhile.
        let disk = disk();
        copy_folder(directory, copy);
        let older = disk.storing.values().rev().flatten();
        for ((path, sector), before) in disk.written.iter().chain(older) {
            let Ok(inside) = path.strip_prefix(directory) else {
                continue;
            };
            let place = copy.join(inside);
            if keeps() || !place.exists() {
                continue;
            }
            let mut file = OpenOptions::new()
                .write(true)
                .open(place)
                .expect("a copy can be written");
            file.seek(SeekFrom::Start(sector * SECTOR))
                .expect("a copy can be written");
            file.write_all(before).expect("a copy can be written");
        }
    }

    fn copy_folder(from: &Path, to: &Path) {
        fs::create_dir_all(to).expect("a test's folder");
        for entry in fs::read_dir(from).expect("a ledger's folder").flatten() {
            let place = to.join(entry.file_name());
            if entry.path().is_dir() {
                copy_folder(&entry.path(), &place);
            } else {
                // What is renamed or removed meanwhile is not there.
                let _ = fs::copy(entry.path(), place);
            }
        }
    }

    pub(in crate::ledger) fn write(
        path: &Path,
        offset: u64,
        bytes: &[u8],
        really: impl FnOnce() -> io::Result<()>,
    ) -> io::Result<()> {
        let mut disk = disk();
        match disk.fault(path) {
            Fault::LosesWrites => return Ok(()),
            Fault::FailsWrites => return Err(io::ErrorKind::StorageFull.into()),
            _ => {}
        }
        let last = (offset + bytes.len() as u64).div_ceil(SECTOR);
        for sector in offset / SECTOR..last {
            let place = disk.written.entry((path.to_owned(), sector));
            place.or_insert_with(|| sector_of(path, sector));
        }
        really()
    }

    pub(in crate::ledger) fn sync(path: &Path, really: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        let fault = disk().fault(path);
        match fault {
            Fault::SkipsSyncs => return Ok(()),
            Fault::FailsSyncs => return Err(io::Error::from_raw_os_error(5)),
            _ => {}
        }
        let began = disk().begin_storing(path);
        let stored = really();
        if stored.is_ok() {
            disk().stored(path, began);
        }
        stored
    }

    pub(in crate::ledger) fn sync_folder(
        folder: &Path,
        really: impl FnOnce() -> io::Result<()>,
    ) -> io::Result<()> {
        let fault = disk().fault(folder);
        match fault {
            Fault::SkipsSyncs => Ok(()),
            Fault::FailsSyncs => Err(io::Error::from_raw_os_error(5)),
            _ => really(),
        }
    }

    fn sector_of(path: &Path, sector: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        if let Ok(mut file) = File::open(path) {
            let _ = file.seek(SeekFrom::Start(sector * SECTOR));
            let _ = file.take(SECTOR).read_to_end(&mut bytes);
        }
        bytes
    }

    impl Disk {
        /// What is written to a sector from now on may get lost although what it holds now is stored.
        fn begin_storing(&mut self, path: &Path) -> u64 {
            let is_of_file = |(other, _): &(PathBuf, u64), _: &mut Vec<u8>| other == path;
            let of_file = self.written.extract_if(.., is_of_file).collect();
            self.began += 1;
            self.storing.insert(self.began, of_file);
            self.began
        }

        fn stored(&mut self, path: &Path, began: u64) {
            for (_, sectors) in self.storing.range_mut(..=began) {
                sectors.retain(|(other, _), _| other != path);
            }
            self.storing.retain(|_, sectors| !sectors.is_empty());
        }

        fn fault(&self, path: &Path) -> Fault {
            let faults = self.faults.iter().find(|(folder, _)| path.starts_with(folder));
            faults.map_or(Fault::None, |(_, fault)| *fault)
        }
    }

    fn disk() -> MutexGuard<'static, Disk> {
        DISK.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
