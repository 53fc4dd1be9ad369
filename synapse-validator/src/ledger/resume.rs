//! Goes on where rows ended.

use std::{collections::VecDeque, fs, mem, sync::Arc};

use synapse_core::{Error, TokenCount};

use super::{
    Closing, EntryId, Outcome,
    book::Book,
    disk, error,
    record::Record,
    recovery::Recovery,
    scan::{self, End},
    segment::{self, FIRST_ROW, HEADER, Segment},
    totals::Summary,
    writer::{Writer, reserve},
};

impl Recovery<'_> {
    /// Takes in the segment that rows went to, up to the last that is whole.
    pub(super) fn active(&mut self, number: u64) -> Result<Writer, Error> {
        let path = segment::path(self.directory, number);
        let base = self.bases[&number];
        let bytes = self.bytes(&path)?;
        let (mut summary, mut durable) = (Summary::default(), base + HEADER);
        let mut offset = FIRST_ROW;
        let tail = loop {
            let mut rows = 0;
            let end = scan::rows(&bytes, base, offset, |position, record| {
                rows += 1;
                if let Record::Durable(position) = &record {
                    durable = durable.max(*position);
                }
                apply(Some(&mut self.book), &mut summary, position, record);
            });
            self.recovered.rows += rows;
            let (at, why) = match end {
                End::At(at) => break at,
                End::Bad { offset, why } => (offset, why),
            };
            if !scan::was_durable(&bytes, base, at) {
                self.cut_off(&path, &bytes, at)?;
                break at;
            }
            let next = scan::after(&bytes, base, at).unwrap_or(bytes.len());
            self.set_aside(&path, base, &bytes, at..next, why)?;
            offset = next;
        };
        let file = fs::OpenOptions::new().read(true).write(true).open(&path);
        let file = file.map_err(|error| error::disk(&path, "opened", error))?;
        let capacity = (bytes.len() as u64).max(self.settings.segment_bytes);
        disk::reserve(&file, capacity).map_err(|error| error::disk(&path, "given its room", error))?;
        // The last process may have failed to store these, and the system may hold them for stored.
        let from = usize::try_from(durable.saturating_sub(base)).map_or(tail, |from| from.min(tail));
        let again = disk::append(&file, &path, from as u64, &bytes[from..tail]);
        again
            .and_then(|()| disk::sync(&file, &path))
            .map_err(|error| error::disk(&path, "stored", error))?;
        let segment = Segment {
            number,
            base,
            capacity,
            path,
            file: Arc::new(file),
        };
        Ok(self.writer(segment, tail as u64, summary))
    }

    /// Closes what was going on when the last process ended.
    pub(super) fn interrupt(&mut self, writer: &mut Writer) -> Result<(), Error> {
        let mut open: Vec<_> = writer
            .book
            .open
            .iter()
            .map(|(entry, opening)| (*entry, opening.clone()))
            .collect();
        open.sort_by_key(|(entry, _)| *entry);
        // When the last row was written is the last that is known of it.
        let last = writer.book.last;
        self.recovered.interrupted = open.len() as u64;
        for (entry, opening) in open {
            let closing = Closing {
                prompt: opening.prompt,
                completion: TokenCount::approximate(0),
                total_ms: last.saturating_sub(opening.at),
                ..Closing::new(entry, last, Outcome::Interrupted)
            };
            writer.close(&closing)?;
        }
        let segment = &writer.segment;
        let synced = disk::sync(&segment.file, &segment.path);
        synced.map_err(|error| error::disk(&segment.path, "stored", error))?;
        writer.durable = writer.end();
        writer.waiting_since = None;
        writer.mark();
        Ok(())
    }

    /// Makes a new segment the one that rows go to.
    pub(super) fn begin(&self, number: u64, base: u64) -> Result<Segment, Error> {
        let path = segment::path(self.directory, number);
        segment::spare(self.directory, "now", self.settings.segment_bytes)
            .and_then(|spare| spare.begin(self.directory, number, base))
            .and_then(|segment| disk::sync_folder(self.directory).map(|()| segment))
            .map_err(|error| error::disk(&path, "made", error))
    }

    pub(super) fn writer(&mut self, segment: Segment, tail: u64, summary: Summary) -> Writer {
        let book = mem::take(&mut self.book);
        let durable = segment.base + tail;
        Writer {
            directory: self.directory.to_owned(),
            settings: self.settings.clone(),
            place: self.place.clone(),
            segment,
            tail,
            reserved: book.open.values().map(reserve).sum(),
            summary,
            book,
            durable,
            marked: durable,
            waiting_since: None,
            is_urgent: false,
            failed: None,
            trouble: None,
            sync_failed: Arc::default(),
            timings: Arc::default(),
            spare: None,
            over: VecDeque::new(),
            is_full: false,
            is_stopped: false,
            is_over: false,
        }
    }
}

/// Takes a row in, whatever it says.
pub(super) fn apply(book: Option<&mut Book>, summary: &mut Summary, position: u64, record: Record) {
    if let Record::Closed(entry) = &record {
        summary.count(entry);
    }
    if let Record::ToppedUp(top_up) = &record {
        summary.top_ups.push(top_up.clone());
    }
    let Some(book) = book else { return };
    match record {
        Record::Opened(opening) => book.open(EntryId(position), opening),
        Record::Closed(entry) => book.close(&entry.opening, &entry.closing),
        Record::ToppedUp(top_up) => book.top_up(&top_up),
        Record::Durable(_) | Record::Gap => {}
    }
}
