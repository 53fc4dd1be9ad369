//! Reads segments and their totals, as they are at this moment.

use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
};

use synapse_core::{Error, ErrorKind};

use super::{Query, Row};
use crate::ledger::{
    EntryId, Opening, Totals, disk, error,
    record::Record,
    scan::{self, End},
    segment::{self, FIRST_ROW, Files},
    stored::{self, Rows, Sealed, Wanted},
    totals::{Group, Summary},
};

/// The code of the error where rows are no more.
const ROWS_FOLDED: &str = "ledger_rows_folded";

pub(super) struct Reader {
    directory: PathBuf,
    segments: BTreeMap<u64, Files>,
}

impl Reader {
    pub(super) fn open(directory: &Path) -> Result<Self, Error> {
        if !segment::folder(directory).is_dir() {
            return Err(Error::new(
                ErrorKind::NotFound,
                "ledger_not_found",
                format!("there is no ledger in {}", directory.display()),
            )
            .with_hint("name the ledger's own directory: the one that has the folder `segments`"));
        }
        Ok(Self {
            directory: directory.to_owned(),
            segments: segment::list(directory)?,
        })
    }

    pub(super) fn totals(&self, query: &Query, each: &mut dyn FnMut(&Group, &Totals)) -> Result<(), Error> {
        for (&number, &files) in &self.segments {
            let head = self.sealed(number, files)?;
            let is_wanted = |sealed: &Sealed| sealed.summary.times.is_some_and(|times| query.overlaps(times));
            if head.is_some_and(|head| !is_wanted(&head)) {
                continue;
            }
            let summary = match self.sums(number, files, &query.wanted())? {
                Some(sealed) if query.is_of_days(&sealed.summary) => sealed.summary,
                Some(sealed) if sealed.rows != Rows::Kept => return Err(self.folded(number)),
                _ => self.counted(query, number)?,
            };
            for (group, totals) in &summary.groups {
                if query.wants(group) && query.has_day(group.day) != Some(false) {
                    each(group, totals);
                }
            }
        }
        Ok(())
    }

    pub(super) fn rows(&self, query: &Query, each: &mut dyn FnMut(Row) -> bool) -> Result<(), Error> {
        // Those of which no end was seen, of segments after which none was left out.
        let mut open = HashMap::<EntryId, Opening>::new();
        for (&number, &files) in &self.segments {
            if let Some(sealed) = self.sealed(number, files)? {
                let is_wanted = sealed.summary.times.is_some_and(|times| query.overlaps(times));
                let is_last = number + 1 >= self.last();
                if sealed.rows != Rows::Kept || !(is_wanted || is_last) {
                    open.clear();
                    continue;
                }
            }
            let mut is_enough = false;
            let read = self.read(number, &mut |position, record| match record {
                Record::Opened(opening) => {
                    open.insert(EntryId(position), opening);
                }
                Record::Closed(entry) => {
                    open.remove(&entry.closing.entry);
                    is_enough = is_enough || (query.wants_entry(&entry) && !each(Row::over(*entry)));
                }
                _ => {}
            });
            match read {
                // Only now, as those before it were.
                Err(error) if error.code() == ROWS_FOLDED => {
                    open.clear();
                    continue;
                }
                read => read?,
            }
            if is_enough {
                return Ok(());
            }
        }
        let mut open: Vec<_> = open.into_iter().collect();
        open.sort_by_key(|(entry, _)| *entry);
        for (entry, opening) in open {
            let group = Group {
                day: 0,
                caller: opening.caller.clone(),
                key: opening.key.clone(),
                model: opening.model.clone(),
                miner: None,
            };
            let is_wanted = query.wants(&group) && query.holds(opening.at);
            if is_wanted && !each(Row::open(entry, opening)) {
                break;
            }
        }
        Ok(())
    }

    /// What each segment adds up to.
    pub(super) fn summaries(&self, each: &mut dyn FnMut(&Summary)) -> Result<(), Error> {
        for (number, files) in &self.segments {
            let summary = match self.sums(*number, *files, &Wanted::default())? {
                Some(sealed) => sealed.summary,
                None => {
                    let mut summary = Summary::default();
                    self.read(*number, &mut |_, record| summary.take(record))?;
                    summary
                }
            };
            each(&summary);
        }
        Ok(())
    }

    pub(super) fn verify(&self) -> Result<u64, Error> {
        let mut rows = 0;
        for &number in self.segments.keys() {
            let totals = segment::totals_path(&self.directory, number);
            let sealed = stored::read_totals(&totals, &Wanted::default())?;
            if sealed.as_ref().is_some_and(|sealed| sealed.rows != Rows::Kept) {
                continue;
            }
            let mut summary = Summary::default();
            self.read(number, &mut |_, record| {
                rows += 1;
                summary.take(record);
            })?;
            if sealed.is_some_and(|sealed| summary != sealed.summary) {
                return Err(error::corrupt(
                    &totals,
                    0,
                    "they are not what the segment's rows add up to",
                ));
            }
        }
        Ok(rows)
    }

    /// What is stored of a segment that is over, without its sums.
    fn sealed(&self, number: u64, files: Files) -> Result<Option<Sealed>, Error> {
        or_its_rows(
            files,
            stored::read_head(&segment::totals_path(&self.directory, number)),
        )
    }

    /// The same with the sums that are wanted.
    fn sums(&self, number: u64, files: Files, wanted: &Wanted<'_>) -> Result<Option<Sealed>, Error> {
        let path = segment::totals_path(&self.directory, number);
        or_its_rows(files, stored::read_totals(&path, wanted))
    }

    /// What the rows of a segment add up to that are asked for.
    fn counted(&self, query: &Query, number: u64) -> Result<Summary, Error> {
        let mut summary = Summary::default();
        self.read(number, &mut |_, record| match record {
            Record::Closed(entry) if query.holds(entry.closing.at) => summary.count(&entry),
            _ => {}
        })?;
        Ok(summary)
    }

    /// Hands over each row of a segment, and its position.
    fn read(&self, number: u64, each: &mut dyn FnMut(u64, Record)) -> Result<(), Error> {
        let path = segment::path(&self.directory, number);
        let bytes = disk::read(&path).map_err(|error| error::disk(&path, "read", error))?;
        let Some(bytes) = bytes else {
            // It was folded only now, or never was there.
            let folded = stored::read_head(&segment::totals_path(&self.directory, number))?;
            let was_folded = folded.is_some_and(|sealed| sealed.rows != Rows::Kept);
            return Err(if was_folded {
                self.folded(number)
            } else {
                error::missing(&path)
            });
        };
        let base = segment::base(&path, number, &bytes)?;
        let end = scan::rows(&bytes, base, FIRST_ROW, each);
        match end {
            End::At(_) => Ok(()),
            // A row that is being written ends the newest segment, and nothing else.
            End::Bad { offset, .. } if number == self.last() && !scan::was_durable(&bytes, base, offset) => {
                Ok(())
            }
            End::Bad { offset, why } => Err(error::corrupt(&path, offset as u64, why)),
        }
    }

    fn last(&self) -> u64 {
        self.segments.last_key_value().map_or(0, |(number, _)| *number)
    }

    fn folded(&self, number: u64) -> Error {
        Error::invalid(
            ROWS_FOLDED,
            format!("the rows of segment {number} were folded into totals of days"),
        )
        .with_hint("ask for whole days of UTC")
    }
}

/// Nothing where what is stored is corrupt and the rows, which say the same, are there.
fn or_its_rows(files: Files, stored: Result<Option<Sealed>, Error>) -> Result<Option<Sealed>, Error> {
    match stored {
        Err(error) if error.code() == "ledger_corrupt" && files.rows => Ok(None),
        stored => stored,
    }
}
