//! The ledger's two threads: one asks the disk to store rows, one looks after segments and top-ups that were left for it.

use std::{
    mem,
    path::PathBuf,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, atomic::Ordering},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use synapse_core::Error;
use tokio::sync::watch;

use super::{
    Sync, UnixMillis, checkpoint, disk, error, fold, inbox,
    recovery::checkpoint_path,
    segment,
    stored::{self, Rows, Sealed},
    timing::Timings,
    writer::{Over, Writer},
};

/// How often top-ups are looked for.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How often rows that are too old are.
const FOLD_EVERY: Duration = Duration::from_secs(60);

/// What the threads and whoever writes share.
#[derive(Debug)]
pub(super) struct Shared {
    writer: Mutex<Writer>,
    /// A row waits for the disk.
    rows: Condvar,
    /// The disk stored rows, or failed to.
    stored: Condvar,
    /// There is something to look after.
    work: Condvar,
    pub(super) durable: watch::Sender<Durable>,
    pub(super) timings: Arc<Timings>,
}

/// How far the disk is.
#[derive(Debug, Clone)]
pub(super) struct Durable {
    pub(super) position: u64,
    pub(super) failed: Option<Error>,
    /// Why the last row was not taken.
    pub(super) trouble: Option<&'static str>,
}

impl Shared {
    pub(super) fn new(writer: Writer) -> Arc<Self> {
        let (durable, _) = watch::channel(Durable {
            position: writer.durable,
            failed: None,
            trouble: None,
        });
        Arc::new(Self {
            timings: writer.timings.clone(),
            writer: Mutex::new(writer),
            rows: Condvar::new(),
            stored: Condvar::new(),
            work: Condvar::new(),
            durable,
        })
    }

    pub(super) fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes, and says where the ledger ends then.
    pub(super) fn write<T>(
        &self,
        write: impl FnOnce(&mut Writer) -> Result<T, Error>,
    ) -> Result<(T, u64), Error> {
        let mut writer = self.writer();
        let was_waiting = writer.waiting_since.is_some();
        let trouble = writer.trouble;
        let written = write(&mut writer);
        let end = writer.end();
        if !was_waiting && writer.waiting_since.is_some() {
            self.rows.notify_one();
        }
        if !writer.over.is_empty() {
            self.work.notify_one();
        }
        let is_told = writer.failed.is_none() && writer.trouble == trouble;
        drop(writer);
        if !is_told {
            self.publish();
        }
        written.map(|value| (value, end))
    }

    /// Makes everything so far outlive a power cut, and waits for the disk.
    pub(super) fn sync(&self) -> Result<u64, Error> {
        let mut writer = self.writer();
        let end = writer.end();
        while writer.durable < end {
            if let Some(error) = &writer.failed {
                return Err(error.clone());
            }
            writer.is_urgent = true;
            writer.waiting_since.get_or_insert_with(Instant::now);
            self.rows.notify_one();
            writer = self.stored.wait(writer).unwrap_or_else(PoisonError::into_inner);
        }
        Ok(end)
    }

    /// Ends the thread that looks after what is no hurry: first, since it waits for the other.
    pub(super) fn stop_house(&self) {
        self.writer().is_stopped = true;
        self.work.notify_all();
    }

    /// Ends the thread that stores rows, once it stored them.
    pub(super) fn stop_rows(&self) {
        self.writer().is_over = true;
        self.rows.notify_all();
    }

    /// Asks the disk to store rows, so long after the first that waits.
    pub(super) fn keep_synced(&self) {
        let mut writer = self.writer();
        loop {
            let Some(since) = writer.waiting_since.filter(|_| writer.failed.is_none()) else {
                if writer.is_over {
                    // So that what was noted last is stored, too.
                    if writer.failed.is_none() {
                        let _ = disk::sync(&writer.segment.file, &writer.segment.path);
                    }
                    return;
                }
                writer = self.rows.wait(writer).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let window = match writer.settings.sync {
                Sync::Every(window) => window,
                Sync::Always => Duration::ZERO,
            };
            let left = window.saturating_sub(since.elapsed());
            if !left.is_zero() && !writer.is_urgent && !writer.is_over {
                let waited = self.rows.wait_timeout(writer, left);
                writer = waited.unwrap_or_else(PoisonError::into_inner).0;
                continue;
            }
            let (segment, end) = (writer.segment.clone(), writer.end());
            let (place, sync_failed) = (writer.place.clone(), writer.sync_failed.clone());
            writer.waiting_since = None;
            writer.is_urgent = false;
            drop(writer);
            let began = Instant::now();
            let synced = disk::sync(&segment.file, &segment.path);
            sync_failed.fetch_or(synced.is_err(), Ordering::AcqRel);
            self.timings.sync.add(began.elapsed());
            self.timings.wait.add(since.elapsed());
            // What is stored where nobody finds it is not.
            let found = place.check(&segment);
            writer = self.writer();
            match (synced, found) {
                (Ok(()), Err(error)) if writer.segment.number == segment.number => writer.lose(error),
                // A segment that is over may have been folded.
                (Ok(()), _) => {
                    writer.durable = writer.durable.max(end);
                    writer.mark();
                }
                (Err(error), _) => writer.fail(error),
            }
            drop(writer);
            self.publish();
            writer = self.writer();
        }
    }

    /// Tells whoever waits how far the disk is.
    fn publish(&self) {
        let writer = self.writer();
        self.durable.send_replace(Durable {
            position: writer.durable,
            failed: writer.failed.clone(),
            trouble: writer.trouble,
        });
        drop(writer);
        self.stored.notify_all();
    }

    /// Looks whether rows go where they are found, and whether those that were refused would be taken now.
    fn is_in_place(&self) -> bool {
        let writer = self.writer();
        let (segment, place) = (writer.segment.clone(), writer.place.clone());
        drop(writer);
        let found = place.check(&segment);
        let mut writer = self.writer();
        let trouble = writer.trouble;
        if let Err(error) = found {
            // Where it went on in another segment, that was looked for then.
            if writer.segment.number == segment.number {
                let is_told = writer.failed.is_some();
                writer.lose(error);
                drop(writer);
                if !is_told {
                    self.publish();
                }
                return false;
            }
        }
        writer.try_again();
        let is_told = writer.trouble == trouble;
        drop(writer);
        if !is_told {
            self.publish();
        }
        true
    }

    /// Looks after what is no hurry.
    pub(super) fn keep_house(&self) {
        let mut folded: Option<Instant> = None;
        loop {
            let mut writer = self.writer();
            if writer.over.is_empty() && !writer.is_stopped {
                let waited = self.work.wait_timeout(writer, LOOK_EVERY);
                writer = waited.unwrap_or_else(PoisonError::into_inner).0;
            }
            let over = mem::take(&mut writer.over);
            let is_stopped = writer.is_stopped;
            let is_half_full = writer.tail + writer.reserved > writer.segment.capacity / 2;
            let wants_spare = (is_half_full || writer.is_full)
                && writer.spare.is_none()
                && writer.failed.is_none()
                && !is_stopped;
            let directory = writer.directory.clone();
            let (bytes, keep_rows) = (writer.settings.segment_bytes, writer.settings.keep_rows);
            drop(writer);
            // What is in its place now may be another ledger. Totals are added up anew when this one is opened next.
            if !self.is_in_place() {
                if is_stopped {
                    return;
                }
                continue;
            }
            for over in over {
                if let Err(error) = seal(&directory, over) {
                    tracing::warn!(%error, "a segment's totals were not stored: they are added up anew when the ledger is opened next");
                }
            }
            if is_stopped {
                return;
            }
            if wants_spare {
                // Where there is no room yet, the writer says so once it needs it.
                if let Ok(spare) = segment::spare(&directory, "next", bytes) {
                    self.writer().spare.get_or_insert(spare);
                }
            }
            inbox::take_in(&directory, self);
            let is_due = folded.is_none_or(|folded| folded.elapsed() >= FOLD_EVERY);
            if let Some(age) = keep_rows.filter(|_| is_due) {
                folded = Some(Instant::now());
                let age = UnixMillis::try_from(age.as_millis()).unwrap_or(UnixMillis::MAX);
                if let Err(error) = fold::fold(&directory, now().saturating_sub(age)) {
                    tracing::warn!(%error, "rows that are too old could not be folded");
                }
            }
        }
    }
}

/// Stores what a segment adds up to, and gives back what it did not use.
fn seal(directory: &std::path::Path, over: Over) -> Result<(), Error> {
    let segment = over.segment;
    let sealed = Sealed {
        number: segment.number,
        base: segment.base,
        end: segment.base + over.length,
        rows: Rows::Kept,
        summary: over.summary,
    };
    stored::write_totals(&segment::totals_path(directory, segment.number), &sealed)?;
    checkpoint::write_checkpoint(&checkpoint_path(directory), over.checkpoint)?;
    let cut: Result<(), std::io::Error> = segment.file.set_len(over.length);
    cut.map_err(|error| error::disk(&PathBuf::from(&segment.path), "cut to its rows", error))
}

fn now() -> UnixMillis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMillis::try_from(since.as_millis()).unwrap_or(UnixMillis::MAX)
}
