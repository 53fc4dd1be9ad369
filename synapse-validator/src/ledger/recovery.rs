//! Opens what a process left, however it ended.

use std::{
    collections::BTreeMap,
    fs, mem,
    path::{Path, PathBuf},
    sync::Arc,
};

use synapse_core::Error;

use super::{
    Corruption, Recovered, Settings,
    book::Book,
    checkpoint::{self, Checkpoint},
    disk, error, inbox,
    place::Place,
    resume::apply,
    scan::{self, End},
    segment::{self, FIRST, FIRST_ROW, Files, HEADER},
    stored::{self, Rows, Sealed, Wanted},
    totals::Summary,
    writer::Writer,
};

/// Opens the ledger in a directory that this process has locked.
///
/// # Errors
/// `ledger_corrupt`, `ledger_segment_missing`, `ledger_newer`, `ledger_disk`.
pub(super) fn open(directory: &Path, settings: &Settings) -> Result<(Writer, Recovered), Error> {
    let folder = segment::folder(directory);
    for folder in [&folder, &inbox::folder(directory)] {
        disk::create_folder(folder).map_err(|error| error::disk(folder, "made", error))?;
    }
    sweep(&folder)?;
    let mut recovery = Recovery {
        directory,
        settings,
        place: Arc::new(Place::open(directory)?),
        files: segment::list(directory)?,
        bases: BTreeMap::new(),
        checkpoint: Checkpoint::default(),
        book: Book::default(),
        recovered: Recovered::default(),
    };
    recovery.read_checkpoint()?;
    let last = recovery.last()?;
    let Some(last) = last else {
        let segment = recovery.begin(1, FIRST)?;
        // Whoever opens it next knows by this that there was a segment.
        let nothing = Checkpoint::encode(1, FIRST, &recovery.book);
        checkpoint::write_checkpoint(&checkpoint_path(directory), nothing)?;
        recovery.recovered.is_new = true;
        recovery.recovered.notes.push(format!(
            "there was no ledger in {}: an empty one was begun, in which nobody has a balance",
            directory.display()
        ));
        let writer = recovery.writer(segment, HEADER, Summary::default());
        return Ok((writer, recovery.recovered));
    };
    recovery.read_bases(last)?;
    for number in 1..last {
        recovery.sealed(number)?;
    }
    let mut writer = recovery.active(last)?;
    recovery.interrupt(&mut writer)?;
    Ok((writer, recovery.recovered))
}

pub(super) struct Recovery<'a> {
    pub(super) directory: &'a Path,
    pub(super) settings: &'a Settings,
    pub(super) place: Arc<Place>,
    files: BTreeMap<u64, Files>,
    /// Where each segment begins.
    pub(super) bases: BTreeMap<u64, u64>,
    pub(super) checkpoint: Checkpoint,
    pub(super) book: Book,
    pub(super) recovered: Recovered,
}

impl Recovery<'_> {
    fn read_checkpoint(&mut self) -> Result<(), Error> {
        let path = checkpoint_path(self.directory);
        match checkpoint::read_checkpoint(&path) {
            Ok(found) => {
                self.checkpoint = found.unwrap_or_default();
                self.book = mem::take(&mut self.checkpoint.book);
            }
            Err(error) if error.code() == "ledger_corrupt" => {
                self.note(format!("{}: balances were added up anew", error.message()));
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// The segment that rows went to; `None` where there never was one.
    fn last(&mut self) -> Result<Option<u64>, Error> {
        let newest = |has: fn(&Files) -> bool| {
            let mut newest = self.files.iter().rev();
            newest
                .find(|(_, files)| has(files))
                .map_or(0, |(number, _)| *number)
        };
        let rows = newest(|files| files.rows);
        // Totals are stored once the segment after them is there.
        let totals = newest(|files| files.totals);
        let totals = if totals == 0 { 0 } else { totals + 1 };
        let last = rows.max(totals).max(self.checkpoint.number);
        if last == 0 {
            return Ok(None);
        }
        if !self.files.get(&last).is_some_and(|files| files.rows) {
            self.is_lost(&segment::path(self.directory, last))?;
            let base = match self.checkpoint.number == last {
                true => self.checkpoint.position,
                false => self.totals(last - 1)?.map_or(FIRST, |sealed| sealed.end),
            };
            // What was in it may have had any length; positions are never used twice.
            let base = base.saturating_add(self.settings.segment_bytes);
            self.begin(last + 1, base)?;
            let rows = Rows::Lost;
            self.store(
                last,
                base - self.settings.segment_bytes,
                base,
                rows,
                Summary::default(),
            )?;
            self.files = segment::list(self.directory)?;
            return Ok(Some(last + 1));
        }
        Ok(Some(last))
    }

    fn read_bases(&mut self, last: u64) -> Result<(), Error> {
        for number in 1..=last {
            let path = segment::path(self.directory, number);
            let has_rows = self.files.get(&number).is_some_and(|files| files.rows);
            let stored = self.totals(number)?;
            let base = if has_rows {
                match header(&path, number) {
                    Ok(base) => base,
                    Err(error) => self.mended_header(&path, number, error)?,
                }
            } else if let Some(sealed) = stored.filter(|sealed| sealed.rows != Rows::Kept) {
                sealed.base
            } else {
                self.is_lost(&path)?;
                let base = self.totals(number - 1)?.map_or(FIRST, |before| before.end);
                let next = segment::path(self.directory, number + 1);
                let end = match self.totals(number)? {
                    Some(sealed) => sealed.end,
                    None => header(&next, number + 1)?,
                };
                let known = self.sums(number)?.map(|sealed| sealed.summary);
                self.store(number, base, end, Rows::Lost, known.unwrap_or_default())?;
                base
            };
            let known = (self.checkpoint.number == number).then_some(self.checkpoint.position);
            if known.is_some_and(|known| known != base) {
                return Err(error::corrupt(
                    &path,
                    0,
                    "it does not begin where the one before ended",
                ));
            }
            self.bases.insert(number, base);
        }
        Ok(())
    }

    /// What is stored of a segment that is over, without its sums. What is corrupt is made anew from its rows, where they
    /// are.
    pub(super) fn totals(&mut self, number: u64) -> Result<Option<Sealed>, Error> {
        let path = segment::totals_path(self.directory, number);
        match stored::read_head(&path) {
            Err(error) if error.code() == "ledger_corrupt" => {
                if !self.files.get(&number).is_some_and(|files| files.rows) {
                    return Err(error);
                }
                self.note(format!("{}: they were added up anew", error.message()));
                fs::remove_file(&path).map_err(|error| error::disk(&path, "removed", error))?;
                Ok(None)
            }
            found => found,
        }
    }

    /// The same with its sums, which nothing else says.
    fn sums(&self, number: u64) -> Result<Option<Sealed>, Error> {
        stored::read_totals(&segment::totals_path(self.directory, number), &Wanted::default())
    }

    /// Takes in a segment that is over.
    fn sealed(&mut self, number: u64) -> Result<(), Error> {
        let path = segment::path(self.directory, number);
        let (base, end) = (self.bases[&number], self.bases[&(number + 1)]);
        let stored = self.totals(number)?;
        let is_counted = number < self.checkpoint.number;
        if let Some(stored) = stored {
            if (stored.base, stored.end) != (base, end) {
                let path = segment::totals_path(self.directory, number);
                return Err(error::corrupt(
                    &path,
                    0,
                    "they are of another place of the ledger",
                ));
            }
            let is_whole = || fs::metadata(&path).is_ok_and(|found| found.len() >= end - base);
            match stored.rows {
                Rows::Kept if !is_whole() => return Err(error::corrupt(&path, 0, "it ends early")),
                Rows::Kept if is_counted => return Ok(()),
                Rows::Kept => {}
                Rows::Folded | Rows::Lost => {
                    if !is_counted && let Some(stored) = self.sums(number)? {
                        self.book.add_summary(&stored.summary);
                    }
                    return Ok(());
                }
            }
        }
        let mut bytes = self.bytes(&path)?;
        let length = usize::try_from(end.saturating_sub(base)).unwrap_or(usize::MAX);
        if bytes.len() < length {
            return Err(error::corrupt(&path, bytes.len() as u64, "it ends early"));
        }
        bytes.truncate(length);
        let mut summary = Summary::default();
        let mut offset = FIRST_ROW;
        while offset < length {
            let mut rows = 0;
            let end = scan::rows(&bytes, base, offset, |position, record| {
                rows += 1;
                apply(
                    (!is_counted).then_some(&mut self.book),
                    &mut summary,
                    position,
                    record,
                );
            });
            self.recovered.rows += rows;
            let (at, why) = match end {
                End::At(at) if at == length => break,
                End::At(at) => (at, "rows are missing from here on"),
                End::Bad { offset, why } => (offset, why),
            };
            let next = scan::after(&bytes, base, at).unwrap_or(length);
            self.set_aside(&path, base, &bytes, at..next, why)?;
            offset = next;
        }
        self.store(number, base, end, Rows::Kept, summary)
    }

    /// Notes that a file is gone, where an operator said to go on.
    fn is_lost(&mut self, path: &Path) -> Result<(), Error> {
        if self.settings.corruption == Corruption::Refuse {
            return Err(error::missing(path));
        }
        self.recovered.lost_segments += 1;
        self.note(format!(
            "{} is gone, and with it what is in no totals",
            path.display()
        ));
        Ok(())
    }

    fn store(&self, number: u64, base: u64, end: u64, rows: Rows, summary: Summary) -> Result<(), Error> {
        let sealed = Sealed {
            number,
            base,
            end,
            rows,
            summary,
        };
        stored::write_totals(&segment::totals_path(self.directory, number), &sealed)
    }

    pub(super) fn bytes(&self, path: &Path) -> Result<Vec<u8>, Error> {
        fs::read(path).map_err(|error| error::disk(path, "read", error))
    }

    pub(super) fn note(&mut self, note: String) {
        tracing::warn!("{note}");
        self.recovered.notes.push(note);
    }
}

/// What all rows up to the last whole segment add up to.
pub(super) fn checkpoint_path(directory: &Path) -> PathBuf {
    directory.join("checkpoint")
}

fn header(path: &Path, number: u64) -> Result<u64, Error> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    fs::File::open(path)
        .and_then(|file| file.take(HEADER).read_to_end(&mut bytes))
        .map_err(|error| error::disk(path, "read", error))?;
    segment::base(path, number, &bytes)
}

/// Removes what was being written when the process ended.
fn sweep(folder: &Path) -> Result<(), Error> {
    let entries = fs::read_dir(folder).map_err(|error| error::disk(folder, "read", error))?;
    for entry in entries.flatten() {
        let path = entry.path();
        let is_unfinished = path
            .extension()
            .is_some_and(|ending| ending == "new" || ending == "spare");
        if is_unfinished {
            fs::remove_file(&path).map_err(|error| error::disk(&path, "removed", error))?;
        }
    }
    Ok(())
}
