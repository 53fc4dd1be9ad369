//! What outlives a validator: what it saw of each epoch, what came of it, and how far it got.
//!
//! A directory with one file an epoch, `epochs/0000000012.json`, which a new one replaces after each step, whole or not at
//! all: written beside, synced, renamed, and the directory synced. Closed epochs are plain JSON that anybody may read while
//! the node runs ([`State::read`]): a backtest, a status, an auditor. `state.json` says whose it is and in which version; an
//! older program refuses what a newer one wrote, and a newer one rewrites what an older one did.
//!
//! | what happened | what follows |
//! | --- | --- |
//! | the process was killed, at any moment | the last step that was written counts, and of the open epoch the last seconds are lost |
//! | the disk is full, or cannot be written | nothing is overwritten; the step is kept in memory and tried again, nothing is submitted meanwhile that is not stored |
//! | the file of one epoch cannot be read | it is kept beside as `….json.corrupt`, and the node goes on without it |
//! | `state.json` cannot be read | the state is not opened: `state_unreadable` |
//! | it belongs to another subnet or validator | it is not used: `state_foreign` |
//! | a newer program wrote it | it is not opened: `state_newer` |

mod fault;
mod files;
mod header;
mod read;
mod record;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use synapse_core::{DataDir, EpochId, Error, NodeId, SubnetId};

#[cfg(feature = "failpoints")]
pub use self::fault::{cut_power, skip_syncs};
use self::header::Header;
pub use self::{
    read::Records,
    record::{EpochRecord, Intent, Opinion, Stage},
};

/// The version of what is stored.
const VERSION: u32 = 2;
/// Epochs that are kept, where nothing else is said.
const KEEP: usize = 1000;
/// Records that are kept at hand, of those that are on the disk.
const AT_HAND: usize = 4;
/// Records that wait for a disk that can be written.
const MOST_UNSAVED: usize = 64;

/// Where a validator keeps its epochs. A clone is the same.
///
/// ```
/// use synapse_validator::State;
///
/// # let folder = tempfile::tempdir()?;
/// let state = State::open(folder.path().join("validator"))?.keep(100);
/// assert_eq!(State::open(folder.path().join("validator")).unwrap_err().code(), "data_dir_locked");
/// assert_eq!(State::read(folder.path().join("validator"))?.count(), 0);
/// # drop(state);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct State {
    shelf: Arc<Mutex<Shelf>>,
    is_on_disk: bool,
}

#[derive(Debug)]
struct Shelf {
    dir: Option<PathBuf>,
    /// No other process has the epochs while this lives.
    _lock: Option<DataDir>,
    header: Option<Header>,
    keep: usize,
    known: BTreeSet<EpochId>,
    at_hand: BTreeMap<EpochId, Arc<EpochRecord>>,
    /// What could not be written yet.
    unsaved: BTreeSet<EpochId>,
    set_aside: Vec<(EpochId, String)>,
    /// The newest epoch that was scored, once that was asked.
    scored: Option<Option<Arc<EpochRecord>>>,
}

impl State {
    /// Opens what is in `dir`, or makes it. No other process has it while a clone of this lives.
    ///
    /// # Errors
    /// `state_newer`, `state_unreadable`, `state_unwritable`, and what [`DataDir::open`] fails with.
    pub fn open(dir: impl Into<PathBuf>) -> Result<Self, Error> {
        let dir = dir.into();
        let lock = DataDir::open(files::epochs(&dir))?;
        let header = Header::read(&dir)?;
        let mut shelf = Shelf::new(Some(dir.clone()));
        shelf.known = files::list(&dir)?;
        shelf._lock = Some(lock);
        files::sweep(&dir)?;
        if let Some(header) = header {
            shelf.header = Some(shelf.migrate(&dir, header)?);
        }
        Ok(Self {
            shelf: Arc::new(Mutex::new(shelf)),
            is_on_disk: true,
        })
    }

    /// One that ends with the process: for tests and trials.
    #[must_use]
    pub fn in_memory() -> Self {
        Self {
            shelf: Arc::new(Mutex::new(Shelf::new(None))),
            is_on_disk: false,
        }
    }

    /// Keeps so many epochs, 1,000 by default, at least 2: the open one and the one before it.
    #[must_use]
    pub fn keep(self, epochs: usize) -> Self {
        self.lock().keep = epochs.max(2);
        self
    }

    /// Reads the epochs in `dir`, in their order, while a node may be running there. Changes nothing.
    ///
    /// # Errors
    /// `state_newer`, `state_unreadable`.
    pub fn read(dir: impl AsRef<Path>) -> Result<Records, Error> {
        Records::of(dir.as_ref())
    }

    /// Which epochs are stored, in their order.
    #[must_use]
    pub fn epochs(&self) -> Vec<EpochId> {
        self.lock().known.iter().copied().collect()
    }

    /// One epoch. `None` where it is not stored, or cannot be read and was set aside. Reads a file.
    ///
    /// # Errors
    /// `state_newer`, `state_unreadable` where the disk fails.
    pub fn get(&self, epoch: EpochId) -> Result<Option<Arc<EpochRecord>>, Error> {
        self.lock().get(epoch)
    }

    /// Says whose it is, or checks that it was said so before.
    ///
    /// # Errors
    /// `state_foreign`, `state_unwritable`.
    pub(crate) fn claim(&self, subnet: SubnetId, validator: &NodeId) -> Result<(), Error> {
        let mut shelf = self.lock();
        if let Some(header) = &shelf.header {
            return header.check(subnet, validator);
        }
        // Where the header was lost, the epochs still say whose they are.
        if let Some(record) = shelf.newest(|_| true)? {
            Header::new(record.evidence.subnet, record.evidence.validator.clone())
                .check(subnet, validator)?;
        }
        let header = Header::new(subnet, validator.clone());
        if let Some(dir) = &shelf.dir {
            header.write(dir)?;
        }
        shelf.header = Some(header);
        Ok(())
    }

    /// Stores an epoch. Where that fails it is kept in memory, and tried again with the next one.
    ///
    /// # Errors
    /// `state_unwritable`; `epoch_closed` where it would change what was seen in a closed epoch.
    pub(crate) async fn put(&self, record: EpochRecord) -> Result<(), Error> {
        self.change(move |shelf| {
            shelf.take(record)?;
            shelf.write()
        })
        .await
    }

    /// Stores what could not be stored before.
    ///
    /// # Errors
    /// `state_unwritable`.
    pub(crate) async fn flush(&self) -> Result<(), Error> {
        self.change(Shelf::write).await
    }

    /// As [`get`](Self::get), where the disk may take its time.
    pub(crate) async fn fetch(&self, epoch: EpochId) -> Result<Option<Arc<EpochRecord>>, Error> {
        self.change(move |shelf| shelf.get(epoch)).await
    }

    /// The newest epoch of which `wanted` is true.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub(crate) async fn newest(
        &self,
        wanted: impl Fn(&EpochRecord) -> bool + Send + 'static,
    ) -> Result<Option<Arc<EpochRecord>>, Error> {
        self.change(move |shelf| shelf.newest(wanted)).await
    }

    /// The newest epoch that a policy scored.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub(crate) async fn scored(&self) -> Result<Option<Arc<EpochRecord>>, Error> {
        self.change(|shelf| {
            if shelf.scored.is_none() {
                shelf.scored = Some(shelf.newest(|record| record.opinion.is_some())?);
            }
            Ok(shelf.scored.clone().flatten())
        })
        .await
    }

    /// The epochs that were set aside since this was last asked, and why.
    pub(crate) async fn set_aside(&self) -> Vec<(EpochId, String)> {
        let taken = self
            .change(|shelf| Ok(std::mem::take(&mut shelf.set_aside)))
            .await;
        taken.unwrap_or_default()
    }

    /// Does what may wait for a disk where that holds up nobody.
    async fn change<T: Send + 'static>(
        &self,
        change: impl FnOnce(&mut Shelf) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        if !self.is_on_disk {
            return change(&mut self.lock());
        }
        let state = self.clone();
        tokio::task::spawn_blocking(move || change(&mut state.lock()))
            .await
            .map_err(|error| {
                Error::internal("state_task_failed", "what reads and writes epochs failed").with_source(error)
            })?
    }

    fn lock(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shelf {
    fn new(dir: Option<PathBuf>) -> Self {
        Self {
            dir,
            _lock: None,
            header: None,
            keep: KEEP,
            known: BTreeSet::new(),
            at_hand: BTreeMap::new(),
            unsaved: BTreeSet::new(),
            set_aside: Vec::new(),
            scored: None,
        }
    }

    /// Rewrites what an older version wrote. Each file says its own version, so where this is cut it begins again.
    fn migrate(&mut self, dir: &Path, header: Header) -> Result<Header, Error> {
        if header.version == VERSION {
            return Ok(header);
        }
        for epoch in self.known.clone() {
            if let Some(record) = self.get(epoch)? {
                files::write(dir, &record)?;
            }
        }
        let header = header.renewed();
        header.write(dir)?;
        Ok(header)
    }

    fn get(&mut self, epoch: EpochId) -> Result<Option<Arc<EpochRecord>>, Error> {
        if let Some(record) = self.at_hand.get(&epoch) {
            return Ok(Some(record.clone()));
        }
        let Some(dir) = self.dir.as_ref().filter(|_| self.known.contains(&epoch)) else {
            return Ok(None);
        };
        match files::read(dir, epoch) {
            Ok(record) => Ok(record.map(Arc::new)),
            Err(error) if error.code() == files::CORRUPT => {
                let mut why = error.message().to_owned();
                if let Err(error) = files::set_aside(dir, epoch) {
                    why = format!("{why}, and it could not be set aside: {error}");
                }
                self.known.remove(&epoch);
                self.set_aside.push((epoch, why));
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn newest(&mut self, wanted: impl Fn(&EpochRecord) -> bool) -> Result<Option<Arc<EpochRecord>>, Error> {
        for epoch in self.known.clone().into_iter().rev() {
            if let Some(record) = self.get(epoch)?.filter(|record| wanted(record)) {
                return Ok(Some(record));
            }
        }
        Ok(None)
    }

    fn take(&mut self, record: EpochRecord) -> Result<(), Error> {
        let epoch = record.epoch();
        if let Some(before) = self.get(epoch)? {
            record.may_replace(&before)?;
        }
        let record = Arc::new(record);
        if let Some(scored) = &mut self.scored
            && record.opinion.is_some()
            && scored.as_ref().is_none_or(|scored| scored.epoch() <= epoch)
        {
            *scored = Some(record.clone());
        }
        self.known.insert(epoch);
        self.at_hand.insert(epoch, record);
        self.unsaved.insert(epoch);
        // A disk that fails for so long takes more than the oldest of these along.
        while self.unsaved.len() > MOST_UNSAVED {
            let oldest = self.unsaved.pop_first();
            oldest.and_then(|epoch| self.at_hand.remove(&epoch));
        }
        Ok(())
    }

    fn write(&mut self) -> Result<(), Error> {
        while let Some(epoch) = self.unsaved.first().copied() {
            if let (Some(dir), Some(record)) = (&self.dir, self.at_hand.get(&epoch)) {
                files::write(dir, record)?;
            }
            self.unsaved.remove(&epoch);
        }
        self.trim()
    }

    /// Forgets the oldest epochs, and of those that are on the disk what need not be at hand.
    fn trim(&mut self) -> Result<(), Error> {
        while self.known.len() > self.keep {
            let Some(oldest) = self.known.pop_first() else {
                break;
            };
            self.at_hand.remove(&oldest);
            self.unsaved.remove(&oldest);
            if let Some(dir) = &self.dir {
                files::remove(dir, oldest)?;
            }
        }
        while self.dir.is_some() && self.at_hand.len() > AT_HAND {
            self.at_hand.pop_first();
        }
        Ok(())
    }
}
