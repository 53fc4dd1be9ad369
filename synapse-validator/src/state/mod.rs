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
mod shelf;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use synapse_core::{EpochId, Error, ErrorKind, NodeId, SubnetId};
use tokio::{sync::Semaphore, time::timeout};

#[cfg(feature = "failpoints")]
pub use self::fault::{cut_power, skip_syncs};
use self::shelf::Shelf;
pub use self::{
    read::Records,
    record::{EpochRecord, Intent, Opinion, Stage},
};
use crate::evidence::Gathered;

/// The version of what is stored.
const VERSION: u32 = 2;
/// Old epochs that are read at once for those who ask: whoever may ask must not keep the disk and the cores busy.
const READERS: usize = 2;
/// How long one who asks waits for that.
const READERS_WAIT: Duration = Duration::from_secs(10);

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
    shelf: Arc<Shelf>,
    readers: Arc<Semaphore>,
}

impl State {
    /// Opens what is in `dir`, or makes it. No other process has it while a clone of this lives.
    ///
    /// # Errors
    /// `state_newer`, `state_unreadable`, `state_unwritable`, and what [`DataDir::open`](synapse_core::DataDir::open) fails with.
    pub fn open(dir: impl Into<PathBuf>) -> Result<Self, Error> {
        Shelf::open(dir.into()).map(Self::of)
    }

    /// One that ends with the process: for tests and trials.
    #[must_use]
    pub fn in_memory() -> Self {
        Self::of(Shelf::in_memory())
    }

    /// Keeps so many epochs, 1,000 by default, at least 2: the open one and the one before it.
    #[must_use]
    pub fn keep(self, epochs: usize) -> Self {
        self.shelf.keep(epochs.max(2));
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
        self.shelf.epochs()
    }

    /// One epoch. `None` where it is not stored, or cannot be read and was set aside. Reads a file.
    ///
    /// # Errors
    /// `state_newer`, `state_unreadable` where the disk fails.
    pub fn get(&self, epoch: EpochId) -> Result<Option<Arc<EpochRecord>>, Error> {
        self.shelf.get(epoch)
    }

    /// Says whose it is, or checks that it was said so before.
    ///
    /// # Errors
    /// `state_foreign`, `state_unwritable`.
    pub(crate) fn claim(&self, subnet: SubnetId, validator: &NodeId) -> Result<(), Error> {
        self.shelf.claim(subnet, validator)
    }

    /// Stores an epoch. Where that fails it is kept in memory, and tried again with the next one.
    ///
    /// # Errors
    /// `state_unwritable`; `epoch_closed` where it would change what was seen in a closed epoch.
    pub(crate) async fn put(&self, record: EpochRecord) -> Result<(), Error> {
        self.change(move |shelf| shelf.put(record)).await
    }

    /// Stores the open epoch. What it takes to copy and write it holds up nobody.
    ///
    /// # Errors
    /// As [`put`](Self::put).
    pub(crate) async fn put_open(&self, gathered: Gathered) -> Result<(), Error> {
        self.change(move |shelf| shelf.put(EpochRecord::open(gathered.into_evidence())))
            .await
    }

    /// Stores what could not be stored before.
    ///
    /// # Errors
    /// `state_unwritable`.
    pub(crate) async fn flush(&self) -> Result<(), Error> {
        self.change(Shelf::flush).await
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
        self.change(Shelf::scored).await
    }

    /// The newest epoch whose weights were made, or the one whose weights it has where its policy failed.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub(crate) async fn weighed(&self) -> Result<Option<Arc<EpochRecord>>, Error> {
        self.change(Shelf::weighed).await
    }

    /// As [`get`](Self::get), for somebody who may ask for anything, and often.
    ///
    /// # Errors
    /// As [`get`](Self::get), and `book_busy`.
    pub(crate) async fn look_up(&self, epoch: EpochId) -> Result<Option<Arc<EpochRecord>>, Error> {
        if let Some(record) = self.shelf.at_hand(epoch) {
            return Ok(Some(record));
        }
        let place = timeout(READERS_WAIT, self.readers.clone().acquire_owned()).await;
        let place = place.map_err(|_| busy(epoch))?;
        self.change(move |shelf| {
            // Until it is read, whether or not anybody still waits for it.
            let _place = place;
            shelf.get(epoch)
        })
        .await
    }

    /// The epochs that were set aside since this was last asked, and why.
    pub(crate) fn set_aside(&self) -> Vec<(EpochId, String)> {
        self.shelf.set_aside()
    }

    /// Does what may wait for a disk where that holds up nobody.
    async fn change<T: Send + 'static>(
        &self,
        change: impl FnOnce(&Shelf) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        if !self.shelf.is_on_disk() {
            return change(&self.shelf);
        }
        let shelf = self.shelf.clone();
        tokio::task::spawn_blocking(move || change(&shelf))
            .await
            .map_err(|error| {
                Error::internal("state_task_failed", "what reads and writes epochs failed").with_source(error)
            })?
    }

    fn of(shelf: Shelf) -> Self {
        Self {
            shelf: Arc::new(shelf),
            readers: Arc::new(Semaphore::new(READERS)),
        }
    }
}

fn busy(epoch: EpochId) -> Error {
    Error::new(
        ErrorKind::Overloaded,
        "book_busy",
        format!("epoch {epoch} was not read: others are, and were not within {READERS_WAIT:?}"),
    )
    .with_hint("ask again later, or leave the epoch out for the last one that was scored")
}
