//! Where rows are written: one at a time, each with room for what must follow it.

use std::{
    collections::VecDeque,
    io, mem,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use synapse_core::Error;

use super::{
    Closing, EntryId, Opening, Settings, TopUp, UnixMillis,
    book::Book,
    checkpoint::Checkpoint,
    codec::{LONGEST_NAME, LONGEST_NOTE, LONGEST_NUMBER},
    disk, error,
    frame::{self, HEAD},
    place::{self, Place},
    record::{self, Entry, Record, cut},
    segment::{self, HEADER, Segment, Spare},
    shown,
    timing::Timings,
    totals::Summary,
};

/// Bytes of the row that says how far the disk is.
const DURABLE_ROW: u64 = (HEAD + 1 + LONGEST_NUMBER) as u64;

/// The end of the ledger, and what all of it adds up to.
#[derive(Debug)]
pub(super) struct Writer {
    pub(super) directory: PathBuf,
    pub(super) settings: Settings,
    pub(super) place: Arc<Place>,
    pub(super) segment: Segment,
    /// Where in the segment the next row goes.
    pub(super) tail: u64,
    /// Bytes that the closing rows of open entries may take.
    pub(super) reserved: u64,
    /// What the segment's rows add up to.
    pub(super) summary: Summary,
    pub(super) book: Book,
    /// Everything before this position outlives a power cut.
    pub(super) durable: u64,
    /// What the last row said that says so.
    pub(super) marked: u64,
    /// When the first row came that waits for the disk.
    pub(super) waiting_since: Option<Instant>,
    /// Somebody waits for the disk.
    pub(super) is_urgent: bool,
    /// Why nothing is taken any more.
    pub(super) failed: Option<Error>,
    /// Why the last row was not taken, until one could be again.
    pub(super) trouble: Option<&'static str>,
    /// The disk failed to store rows, which the writer is not told yet.
    pub(super) sync_failed: Arc<AtomicBool>,
    pub(super) timings: Arc<Timings>,
    pub(super) spare: Option<Spare>,
    /// Segments that are over, whose totals are not stored yet.
    pub(super) over: VecDeque<Over>,
    /// There was no room for another segment when one was last needed.
    pub(super) is_full: bool,
    /// No more is looked after.
    pub(super) is_stopped: bool,
    /// No more rows come.
    pub(super) is_over: bool,
}

/// A segment that is over.
#[derive(Debug)]
pub(super) struct Over {
    pub(super) segment: Segment,
    /// Bytes of it that hold rows.
    pub(super) length: u64,
    pub(super) summary: Summary,
    /// What all rows up to its end add up to, encoded.
    pub(super) checkpoint: Vec<u8>,
}

impl Writer {
    /// Where the next row goes.
    pub(super) fn end(&self) -> u64 {
        self.segment.base + self.tail
    }

    /// # Errors
    /// `ledger_unavailable`, `ledger_name_too_long`.
    pub(super) fn begin(&mut self, opening: &Opening) -> Result<EntryId, Error> {
        self.usable()?;
        let opening = fitted(opening)?;
        let row = record::encode_opening(&opening);
        let reserve = reserve(&opening);
        self.make_room(row.len(), reserve, opening.at)?;
        let entry = EntryId(self.append(&row)?);
        self.reserved += reserve;
        self.book.open(entry, opening);
        Ok(entry)
    }

    /// # Errors
    /// `ledger_unavailable`, `ledger_entry_closed`, `ledger_amount_too_large`.
    pub(super) fn close(&mut self, closing: &Closing) -> Result<(), Error> {
        self.usable()?;
        let opening = self.book.open.get(&closing.entry).cloned();
        let opening = opening.ok_or_else(|| error::not_open(closing.entry.0))?;
        self.book.can_charge(opening.caller.as_ref(), closing.charge)?;
        let row = record::encode_closing(&opening, closing);
        // Its room was reserved.
        self.append(&row)?;
        self.reserved -= reserve(&opening);
        self.book.close(&opening, closing);
        self.summary.count(&Entry {
            opening,
            closing: closing.clone(),
        });
        Ok(())
    }

    /// # Errors
    /// `ledger_unavailable`, `ledger_name_too_long`, `ledger_text_odd`, `ledger_payment_differs`,
    /// `ledger_amount_too_large`.
    pub(super) fn top_up(&mut self, top_up: &TopUp) -> Result<(), Error> {
        self.usable()?;
        within(top_up.operation.as_str(), "payment's name")?;
        within(top_up.caller.as_str(), "caller's name")?;
        shown::check(&top_up.note, "payment's note")?;
        if !self.book.is_new(top_up)? {
            return Ok(());
        }
        let mut top_up = top_up.clone();
        top_up.note = cut(&top_up.note, LONGEST_NOTE).to_owned();
        let row = record::encode_top_up(&top_up);
        self.make_room(row.len(), 0, top_up.at)?;
        self.append(&row)?;
        self.book.top_up(&top_up);
        self.summary.top_ups.push(top_up);
        Ok(())
    }

    /// Notes how far the disk is, where that is not noted yet: whoever opens the ledger next tells by it what was torn from
    /// what was damaged.
    pub(super) fn mark(&mut self) {
        if self.durable != self.marked && self.has_room_to_mark() && self.failed.is_none() {
            self.write_mark();
        }
    }

    fn has_room_to_mark(&self) -> bool {
        self.tail + DURABLE_ROW + self.reserved <= self.segment.capacity
    }

    fn write_mark(&mut self) {
        let waiting_since = self.waiting_since;
        if self.append(&Record::Durable(self.durable).encode()).is_ok() {
            self.marked = self.durable;
        }
        // Nobody waits for this row.
        self.waiting_since = waiting_since;
    }

    /// Looks whether what was refused would be taken now, so that nobody has to ask for it to be known.
    pub(super) fn try_again(&mut self) {
        let waits_for_room = self.is_full && self.spare.is_none();
        if self.trouble.is_none() || self.failed.is_some() || waits_for_room {
            return;
        }
        self.is_full = false;
        if self.has_room_to_mark() {
            self.write_mark();
        } else if self.spare.is_some() {
            self.is_well();
        }
    }

    /// From now on nothing is taken: what the disk did not store once it may say to have stored the next time.
    pub(super) fn fail(&mut self, error: io::Error) {
        if self.failed.is_some() {
            return;
        }
        tracing::error!(
            file = %self.segment.path.display(),
            %error,
            "the disk did not store the ledger: no more requests are taken until this process is started again; check the disk first"
        );
        self.failed = Some(self.refusal("the disk failed to store what was written", error));
    }

    /// From now on nothing is taken: nobody would ever read it.
    pub(super) fn lose(&mut self, error: Error) {
        if self.failed.is_some() {
            return;
        }
        tracing::error!(%error, "the ledger is gone from its place: no more requests are taken until this process is started again");
        self.failed = Some(self.refusal("files of the ledger were deleted or moved", error));
        // Whoever moved it may put it back.
        let _ = disk::sync(&self.segment.file, &self.segment.path);
    }

    fn refusal(
        &mut self,
        why: &'static str,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Error {
        self.trouble = Some(why);
        error::unavailable(why, source)
    }

    fn is_well(&mut self) {
        if self.trouble.take().is_some() {
            tracing::info!("the ledger takes rows again");
        }
    }

    fn usable(&self) -> Result<(), Error> {
        self.failed.clone().map_or(Ok(()), Err)
    }

    /// Writes a row, and says where.
    fn append(&mut self, row: &[u8]) -> Result<u64, Error> {
        let position = self.end();
        let frame = frame::framed(position, row);
        let written = disk::append(&self.segment.file, &self.segment.path, self.tail, &frame);
        // What was written of it is overwritten by the next.
        if let Err(error) = written {
            if self.trouble.is_none() {
                tracing::error!(
                    file = %self.segment.path.display(),
                    %error,
                    "a row of the ledger could not be written: requests are refused until one can be"
                );
            }
            return Err(self.refusal("a row could not be written", error));
        }
        if place::is_deleted(&self.segment.file) {
            self.lose(error::moved(&self.segment.path, "it was deleted"));
            self.usable()?;
        }
        if !self.is_full {
            self.is_well();
        }
        self.tail += frame.len() as u64;
        self.waiting_since.get_or_insert_with(Instant::now);
        Ok(position)
    }

    /// Goes on in a new segment, where there is no room in this one for a row and for what is reserved.
    fn make_room(&mut self, row: usize, reserve: u64, now: UnixMillis) -> Result<(), Error> {
        let need = HEAD as u64 + row as u64 + reserve + DURABLE_ROW + self.reserved;
        if self.tail + need <= self.segment.capacity {
            return Ok(());
        }
        if HEADER + need > self.settings.segment_bytes {
            return Err(error::unavailable(
                "too many requests are open at once",
                "the closing rows of open requests would not fit into one segment: make segments larger",
            ));
        }
        // Nothing is made in what may be another ledger.
        if let Err(error) = self.place.check(&self.segment) {
            self.lose(error);
            return self.usable();
        }
        let spare = match self.spare.take() {
            Some(spare) => Ok(spare),
            None => segment::spare(&self.directory, "now", self.settings.segment_bytes),
        };
        let spare = spare.map_err(|error| self.no_room(error))?;
        // In this order: a row of the new segment says that the old one is whole.
        let began = Instant::now();
        let synced = disk::sync(&self.segment.file, &self.segment.path);
        self.timings.sync.add(began.elapsed());
        // The disk says once to whoever asks first that it failed.
        let failed = self.sync_failed.load(Ordering::Acquire);
        if let Some(error) = synced
            .err()
            .or(failed.then(|| io::Error::other("an fsync failed")))
        {
            self.fail(error);
            return self.usable();
        }
        self.durable = self.end();
        let (number, base) = (self.segment.number + 1, self.end());
        let next = spare.begin(&self.directory, number, base);
        let next = next.map_err(|error| self.no_room(error))?;
        self.is_full = false;
        self.book.forget_old_days(now);
        self.over.push_back(Over {
            segment: mem::replace(&mut self.segment, next),
            length: mem::replace(&mut self.tail, HEADER),
            summary: mem::take(&mut self.summary),
            checkpoint: Checkpoint::encode(number, base, &self.book),
        });
        Ok(())
    }

    fn no_room(&mut self, error: io::Error) -> Error {
        if !mem::replace(&mut self.is_full, true) {
            tracing::error!(
                directory = %self.directory.display(),
                %error,
                "the ledger finds no room for another segment: new requests are refused until there is, those under way end as usual"
            );
        }
        self.refusal("there is no room for more rows", error)
    }
}

/// Bytes that the closing row of this opening takes at most.
pub(super) fn reserve(opening: &Opening) -> u64 {
    HEAD as u64 + record::most_closing(opening)
}

/// An opening whose texts have the length that rows have for them. Whose money it is is never cut.
fn fitted(opening: &Opening) -> Result<Opening, Error> {
    if let Some(caller) = &opening.caller {
        within(caller.as_str(), "caller's name")?;
    }
    if let Some(key) = &opening.key {
        within(key.as_str(), "key's name")?;
    }
    let mut opening = opening.clone();
    opening.model = cut(&opening.model, LONGEST_NAME).to_owned();
    if opening.request.as_str().len() > LONGEST_NAME {
        opening.request = cut(opening.request.as_str(), LONGEST_NAME).into();
    }
    Ok(opening)
}

fn within(name: &str, what: &'static str) -> Result<(), Error> {
    if name.len() <= LONGEST_NAME {
        Ok(())
    } else {
        Err(error::too_long(what))
    }
}
