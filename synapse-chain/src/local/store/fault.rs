//! Faults of the disk, for tests: with the feature `failpoints` only.

#[cfg(not(feature = "failpoints"))]
pub(in crate::local) use self::none::Faults;
#[cfg(feature = "failpoints")]
pub(in crate::local) use self::some::Faults;
#[cfg(feature = "failpoints")]
pub use self::some::StoreFault;

#[cfg(not(feature = "failpoints"))]
mod none {
    use std::path::Path;

    use redb::{Builder, Database, DatabaseError};

    /// No fault.
    #[derive(Debug, Clone, Copy, Default)]
    pub(in crate::local) struct Faults;

    impl Faults {
        #[expect(clippy::unused_self, reason = "with faults there is something to ask")]
        pub(in crate::local::store) fn create(
            self,
            builder: &Builder,
            path: &Path,
        ) -> Result<Database, DatabaseError> {
            builder.create(path)
        }

        #[expect(clippy::unused_self, reason = "with faults there is something to do")]
        pub(in crate::local::store) fn before_commit(self) {}

        #[expect(clippy::unused_self, reason = "with faults there is something to ask")]
        pub(in crate::local::store) fn skips_fsync(self) -> bool {
            false
        }
    }
}

#[cfg(feature = "failpoints")]
mod some {
    use std::{
        env,
        fs::OpenOptions,
        io,
        path::Path,
        sync::{
            Arc,
            atomic::{AtomicBool, AtomicU64, Ordering},
        },
    };

    use redb::{Builder, Database, DatabaseError, StorageBackend, backends::FileBackend};

    /// The variable that sets a fault in a program that was built with the feature `failpoints`: `no_fsync`,
    /// `disk_full`, `disk_full@10`, `io_error@10`, `panic@10`.
    const VARIABLE: &str = "SYNAPSE_CHAIN_FAULT";

    /// What is wrong with the disk; the numbers say how many commits succeed before.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    #[non_exhaustive]
    pub enum StoreFault {
        /// Commits return without having reached the disk.
        NoFsync,
        /// Whatever is written finds no room.
        DiskFull(u64),
        /// Whatever is written or flushed fails.
        IoError(u64),
        /// The commit panics.
        Panic(u64),
    }

    impl StoreFault {
        fn read(text: &str) -> Option<Self> {
            let (name, after) = text.split_once('@').unwrap_or((text, "0"));
            let after = after.parse().ok()?;
            match name {
                "no_fsync" => Some(Self::NoFsync),
                "disk_full" => Some(Self::DiskFull(after)),
                "io_error" => Some(Self::IoError(after)),
                "panic" => Some(Self::Panic(after)),
                _ => None,
            }
        }
    }

    /// The fault that is set, and how many commits there were.
    #[derive(Debug, Clone, Default)]
    pub(in crate::local) struct Faults {
        fault: Option<StoreFault>,
        commits: Arc<AtomicU64>,
        broken: Arc<AtomicBool>,
    }

    impl Faults {
        pub(in crate::local) fn new(fault: Option<StoreFault>) -> Self {
            let of_environment = || StoreFault::read(&env::var(VARIABLE).ok()?);
            Self {
                fault: fault.or_else(of_environment),
                ..Self::default()
            }
        }

        pub(in crate::local::store) fn create(
            &self,
            builder: &Builder,
            path: &Path,
        ) -> Result<Database, DatabaseError> {
            let mut options = OpenOptions::new();
            options.read(true).write(true).create(true).truncate(false);
            let file = options.open(path)?;
            builder.create_with_backend(Faulty {
                file: FileBackend::new(file)?,
                fault: self.fault,
                broken: self.broken.clone(),
            })
        }

        pub(in crate::local::store) fn before_commit(&self) {
            let commits = self.commits.fetch_add(1, Ordering::Relaxed);
            let panics = matches!(self.fault, Some(StoreFault::Panic(after)) if commits >= after);
            assert!(!panics, "a commit panics, injected");
            if let Some(StoreFault::DiskFull(after) | StoreFault::IoError(after)) = self.fault
                && commits >= after
            {
                self.broken.store(true, Ordering::Relaxed);
            }
        }

        pub(in crate::local::store) fn skips_fsync(&self) -> bool {
            self.fault == Some(StoreFault::NoFsync)
        }
    }

    /// A file that fails where a fault says so, and is itself otherwise.
    #[derive(Debug)]
    struct Faulty {
        file: FileBackend,
        fault: Option<StoreFault>,
        broken: Arc<AtomicBool>,
    }

    impl Faulty {
        fn may_write(&self) -> io::Result<()> {
            match self.fault {
                Some(StoreFault::DiskFull(_)) if self.broken.load(Ordering::Relaxed) => {
                    Err(io::ErrorKind::StorageFull.into())
                }
                Some(StoreFault::IoError(_)) if self.broken.load(Ordering::Relaxed) => {
                    Err(io::Error::other("an input or output error, injected"))
                }
                _ => Ok(()),
            }
        }
    }

    impl StorageBackend for Faulty {
        fn len(&self) -> io::Result<u64> {
            self.file.len()
        }

        fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
            self.file.read(offset, out)
        }

        fn set_len(&self, len: u64) -> io::Result<()> {
            self.may_write()?;
            self.file.set_len(len)
        }

        fn sync_data(&self) -> io::Result<()> {
            if !matches!(self.fault, Some(StoreFault::DiskFull(_))) {
                self.may_write()?;
            }
            self.file.sync_data()
        }

        fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
            self.may_write()?;
            self.file.write(offset, data)
        }

        fn close(&self) -> io::Result<()> {
            self.file.close()
        }
    }
}
