//! What was asked, delivered and charged: one durable row a request.
//!
//! A ledger is a directory. `segments/0000000001.rows` and those after it hold rows, one after the other, each with a
//! checksum over its place and its bytes; once a segment is over, `0000000001.totals` holds what it adds up to by day,
//! caller, key, model and miner, and `checkpoint` what all rows up to there do, so that opening reads the last segment only.
//! Rows that are too old are given up segment by segment, and their totals stay ([`Settings::keep_rows`]). `inbox/` takes
//! top-ups for the process that has the ledger, and keeps why the last thousand were that it refused; `torn/` and `corrupt/`
//! keep what was cut off and what was set aside.

mod account;
mod book;
mod calendar;
mod checkpoint;
mod codec;
mod disk;
mod error;
mod fault;
mod fold;
mod frame;
mod inbox;
mod keeper;
mod layer;
mod mend;
mod place;
mod query;
mod record;
mod recovered;
mod recovery;
mod resume;
mod row;
mod scan;
mod segment;
mod settings;
mod shown;
mod stored;
mod timing;
mod totals;
mod writer;

use std::{
    fmt,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
};

use synapse_core::{CallerId, DataDir, Error, Health, MetricsData, Micros};

pub(crate) use self::disk::replace as replace_file;
#[cfg(feature = "failpoints")]
pub use self::fault::{Fault, cut_power, set_fault};
use self::keeper::Shared;
pub use self::{
    account::{Account, Payer},
    calendar::{Span, read_time, show_time},
    inbox::{Left, leave, left},
    layer::LedgerLayer,
    query::{
        By, Query, Report, Row, accounts, csv_text, query, read_segment, rows, verify, write_csv,
        write_csv_head,
    },
    recovered::Recovered,
    row::{Closing, EntryId, Opening, Outcome, PriceVersion, TopUp, UnixMillis},
    settings::{Corruption, Settings, Sync},
    totals::Totals,
};

/// A place in the ledger: what was written before it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(u64);

/// The ledger of one gateway: whoever has a clone writes to the same. The last clone that goes waits until what was
/// written is stored.
#[derive(Clone)]
pub struct Ledger(Arc<Owned>);

struct Owned {
    shared: Arc<Shared>,
    settings: Settings,
    recovered: Recovered,
    /// Stores rows.
    rows: Mutex<Option<JoinHandle<()>>>,
    /// Looks after what is no hurry.
    house: Mutex<Option<JoinHandle<()>>>,
    /// No other process has the ledger while this lives.
    _lock: DataDir,
}

impl Ledger {
    /// Opens the ledger in this directory, and makes it where there is none. Waits for the disk.
    ///
    /// Requests that were going on when the last process ended are closed as [`Outcome::Interrupted`], and charged nothing.
    /// What the disk was never known to have kept is cut off and kept aside; [`recovered`](Self::recovered) says all of it.
    ///
    /// # Errors
    /// `data_dir_locked` where another process has it; `ledger_corrupt` and `ledger_segment_missing`, which name the file,
    /// the place and what can be done, where the disk does not hold what was written ([`Corruption`]); `ledger_newer`,
    /// `ledger_disk`.
    pub fn open(directory: impl AsRef<Path>, settings: Settings) -> Result<Self, Error> {
        let directory = directory.as_ref();
        let lock = DataDir::open(directory)?;
        let (writer, recovered) = recovery::open(directory, &settings)?;
        let shared = Shared::new(writer);
        let owned = Arc::new(Owned {
            shared,
            settings,
            recovered,
            rows: Mutex::default(),
            house: Mutex::default(),
            _lock: lock,
        });
        *lock_of(&owned.rows) = Some(run(&owned.shared, "ledger-rows", Shared::keep_synced)?);
        *lock_of(&owned.house) = Some(run(&owned.shared, "ledger-house", Shared::keep_house)?);
        Ok(Self(owned))
    }

    /// How it is kept.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.0.settings
    }

    /// What opening it found.
    #[must_use]
    pub fn recovered(&self) -> &Recovered {
        &self.0.recovered
    }

    /// Enters a request. Once this returns the row outlives the process, and there is room for the row that will close it.
    ///
    /// A model's name and a request's id are cut to 256 bytes.
    ///
    /// # Errors
    /// `ledger_unavailable` where the disk is full or failed, or the ledger's files were deleted or moved: nothing was
    /// entered, and the request is to be refused.
    /// `ledger_name_too_long` for a caller or a key of more than 256 bytes.
    pub fn begin(&self, opening: &Opening) -> Result<(EntryId, Position), Error> {
        let (entry, end) = self.0.shared.write(|writer| writer.begin(opening))?;
        Ok((entry, Position(end)))
    }

    /// Closes an entry, and charges its caller and its key by the time at which it ended. Once this returns the row
    /// outlives the process.
    ///
    /// # Errors
    /// `ledger_entry_closed` where it is closed already; `ledger_unavailable` where the disk failed: it stays open then, and
    /// is closed as interrupted, for nothing, when the ledger is opened next.
    pub fn end(&self, closing: &Closing) -> Result<Position, Error> {
        let ((), end) = self.0.shared.write(|writer| writer.close(closing))?;
        Ok(Position(end))
    }

    /// Enters a payment; the same one again has no effect.
    ///
    /// # Errors
    /// `ledger_payment_differs` where another of this name was entered; `ledger_text_odd` where its note has a character
    /// that is not [plain](synapse_core::is_plain); `ledger_unavailable`, `ledger_name_too_long`, `ledger_amount_too_large`.
    pub fn top_up(&self, top_up: &TopUp) -> Result<Position, Error> {
        let ((), end) = self.0.shared.write(|writer| writer.top_up(top_up))?;
        Ok(Position(end))
    }

    /// Waits until everything before this place outlives a power cut. May be dropped at any time.
    ///
    /// # Errors
    /// `ledger_unavailable` where the disk failed to store it, or the ledger's files were deleted or moved.
    pub async fn durable(&self, position: Position) -> Result<(), Error> {
        let mut durable = self.0.shared.durable.subscribe();
        let reached = durable.wait_for(|durable| durable.position >= position.0 || durable.failed.is_some());
        let reached = reached.await.expect("the sender is in `self`");
        match &reached.failed {
            Some(error) if reached.position < position.0 => Err(error.clone()),
            _ => Ok(()),
        }
    }

    /// Makes everything so far outlive a power cut, and waits for the disk.
    ///
    /// # Errors
    /// `ledger_unavailable`.
    pub fn sync(&self) -> Result<Position, Error> {
        self.0.shared.sync().map(Position)
    }

    /// Whether it takes rows. Once there is room again, or the disk takes what is written, it is well within a second, with
    /// requests or without; after a failure to store, and where its files were deleted or moved, once it is opened anew.
    #[must_use]
    pub fn health(&self) -> Health {
        match self.0.shared.durable.borrow().trouble {
            Some(why) => Health::unhealthy(format!("the ledger takes no rows: {why}")),
            None => Health::ready(),
        }
    }

    /// Adds `ledger.sync_seconds`, what storing takes that the disk is asked for, and `ledger.sync_wait_seconds`, how long
    /// the first of the rows that are stored together waits for it: both as Prometheus' histograms, `…_bucket` by `le`,
    /// `…_count` and `…_sum`.
    pub fn metrics(&self, metrics: &mut MetricsData) {
        self.0.shared.timings.report(metrics);
    }

    /// What is left of what the caller paid in; `None` where it never paid anything in. What is held for requests that go
    /// on is in it.
    #[must_use]
    pub fn balance(&self, caller: &CallerId) -> Option<Micros> {
        self.account(caller).map(|account| account.balance())
    }

    /// What the caller paid in and what it was charged; `None` where it never paid anything in.
    #[must_use]
    pub fn account(&self, caller: &CallerId) -> Option<Account> {
        self.0.shared.writer().book.account(caller)
    }

    /// Everybody who ever paid anything in, by name.
    #[must_use]
    pub fn accounts(&self) -> Vec<(CallerId, Account)> {
        self.0.shared.writer().book.accounts()
    }

    /// What was charged in the day or month of UTC that holds `at`, by when requests ended. Known for this month and the
    /// one before.
    #[must_use]
    pub fn spent(&self, who: &Payer, span: Span, at: UnixMillis) -> Micros {
        self.0.shared.writer().book.spent(who, span, at)
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        self.shared.stop_house();
        end(&self.house);
        self.shared.stop_rows();
        end(&self.rows);
    }
}

fn run(shared: &Arc<Shared>, name: &str, run: fn(&Shared)) -> Result<JoinHandle<()>, Error> {
    let shared = shared.clone();
    let thread = thread::Builder::new().name(name.to_owned());
    thread.spawn(move || run(&shared)).map_err(|error| {
        Error::internal("ledger_thread", "the ledger could not start a thread").with_source(error)
    })
}

fn end(thread: &Mutex<Option<JoinHandle<()>>>) {
    if let Some(thread) = lock_of(thread).take() {
        let _ = thread.join();
    }
}

fn lock_of(thread: &Mutex<Option<JoinHandle<()>>>) -> MutexGuard<'_, Option<JoinHandle<()>>> {
    thread.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ledger")
            .field("settings", &self.0.settings)
            .finish_non_exhaustive()
    }
}
