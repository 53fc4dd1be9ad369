//! Questions about what was asked, delivered and charged. They read the directory and lock nothing: a gateway may run on it.

mod csv;
mod read;
mod row;

use std::{collections::BTreeMap, path::Path};

use synapse_core::{CallerId, Error, KeyId, NodeId};

use self::read::Reader;
pub use self::{
    csv::{csv_text, write_csv, write_csv_head},
    row::Row,
};
use super::{
    Account, Totals, UnixMillis,
    book::Book,
    calendar, error,
    record::{Entry, Record},
    scan::{self, End},
    segment,
    stored::Wanted,
    totals::{Group, Summary},
};

/// Which requests are asked for: all of them, where nothing is said.
///
/// A request belongs to the moment at which it ended.
///
/// ```
/// use synapse_validator::ledger::{By, Query};
///
/// let mut query = Query::default();
/// query.caller = Some("alice".into());
/// query.from = Some(1_772_323_200_000);
/// query.by = vec![By::Model, By::Miner];
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Query {
    /// Those of this caller.
    pub caller: Option<CallerId>,
    /// Those with this key.
    pub key: Option<KeyId>,
    /// Those for this model.
    pub model: Option<String>,
    /// Those that this miner served.
    pub miner: Option<NodeId>,
    /// Those that ended at this moment or later.
    pub from: Option<UnixMillis>,
    /// Those that ended before this moment.
    pub until: Option<UnixMillis>,
    /// By what they are summed up, beside the sum of all.
    pub by: Vec<By>,
    /// How many rows are returned at most, the oldest first: none, where nothing is said, which is quick.
    pub most_rows: usize,
}

/// By what requests are summed up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum By {
    /// The day of UTC.
    Day,
    /// Who asked.
    Caller,
    /// With which key.
    Key,
    /// For which model.
    Model,
    /// Who served it.
    Miner,
}

/// The answer to a [`Query`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// Over all requests that are over.
    pub totals: Totals,
    /// By what the query said, in that order: `-` where there is no name.
    pub groups: Vec<(Vec<String>, Totals)>,
    /// Requests, in the order in which they ended; after those, the ones that go on.
    pub rows: Vec<Row>,
    /// There are more rows than were asked for.
    pub has_more: bool,
}

/// Answers from the ledger in this directory.
///
/// # Errors
/// `ledger_not_found`; `ledger_rows_folded` where the rows of a day that is only partly asked for are kept as totals only;
/// `ledger_corrupt`, `ledger_newer`, `ledger_disk`.
pub fn query(directory: impl AsRef<Path>, query: &Query) -> Result<Report, Error> {
    let reader = Reader::open(directory.as_ref())?;
    let mut sums = Sums::default();
    if query.most_rows == 0 {
        reader.totals(query, &mut |group, totals| sums.add(query, group, totals))?;
        return Ok(sums.report(query));
    }
    let mut rows = Vec::new();
    let mut has_more = false;
    reader.rows(query, &mut |row| {
        has_more = rows.len() == query.most_rows;
        if !has_more {
            rows.push(row);
        }
        !has_more
    })?;
    // Sums are of all, rows of some.
    Reader::open(directory.as_ref())?.totals(query, &mut |group, totals| sums.add(query, group, totals))?;
    Ok(Report {
        rows,
        has_more,
        ..sums.report(query)
    })
}

/// Hands over each row that is asked for, until `each` says that it is enough. `most_rows` has no say.
///
/// # Errors
/// As [`query`].
pub fn rows(
    directory: impl AsRef<Path>,
    query: &Query,
    mut each: impl FnMut(Row) -> bool,
) -> Result<(), Error> {
    Reader::open(directory.as_ref())?.rows(query, &mut each)
}

/// Everybody who ever paid anything in, by name.
///
/// # Errors
/// As [`query`].
pub fn accounts(directory: impl AsRef<Path>) -> Result<Vec<(CallerId, Account)>, Error> {
    let mut book = Book::default();
    let reader = Reader::open(directory.as_ref())?;
    reader.summaries(&mut |summary| book.add_summary(summary))?;
    Ok(book.accounts())
}

/// Reads every row there is, and says how many; an error says where one is not what was written.
///
/// # Errors
/// As [`query`].
pub fn verify(directory: impl AsRef<Path>) -> Result<u64, Error> {
    Reader::open(directory.as_ref())?.verify()
}

/// The requests that the bytes of one segment's file hold, those that are over, in order: for who keeps copies of them.
///
/// # Errors
/// `ledger_corrupt`, `ledger_newer`.
pub fn read_segment(bytes: &[u8]) -> Result<Vec<Row>, Error> {
    let path = Path::new("the segment");
    let base = segment::base_of_any(path, bytes)?;
    let mut rows = Vec::new();
    let end = scan::rows(bytes, base, segment::FIRST_ROW, |_, record| {
        if let Record::Closed(entry) = record {
            rows.push(Row::over(*entry));
        }
    });
    match end {
        End::At(_) => Ok(rows),
        End::Bad { offset, why } => Err(error::corrupt(path, offset as u64, why)),
    }
}

#[derive(Default)]
struct Sums {
    all: Totals,
    groups: BTreeMap<Vec<String>, Totals>,
}

impl Sums {
    fn add(&mut self, query: &Query, group: &Group, totals: &Totals) {
        self.all.add(totals);
        if !query.by.is_empty() {
            let names = query.by.iter().map(|by| by.name(group)).collect();
            self.groups.entry(names).or_default().add(totals);
        }
    }

    fn report(self, query: &Query) -> Report {
        let groups = if query.by.is_empty() {
            Vec::new()
        } else {
            self.groups.into_iter().collect()
        };
        Report {
            totals: self.all,
            groups,
            ..Report::default()
        }
    }
}

impl By {
    fn name(self, group: &Group) -> String {
        let name = match self {
            Self::Day => return calendar::shown(group.day),
            Self::Caller => group.caller.as_ref().map(CallerId::as_str),
            Self::Key => group.key.as_ref().map(KeyId::as_str),
            Self::Model => Some(group.model.as_str()),
            Self::Miner => group.miner.as_ref().map(NodeId::as_str),
        };
        name.unwrap_or("-").to_owned()
    }
}

impl Query {
    fn wants(&self, group: &Group) -> bool {
        fn same<T: PartialEq>(wanted: Option<&T>, found: Option<&T>) -> bool {
            wanted.is_none() || wanted == found
        }
        same(self.caller.as_ref(), group.caller.as_ref())
            && same(self.key.as_ref(), group.key.as_ref())
            && same(self.model.as_ref(), Some(&group.model))
            && same(self.miner.as_ref(), group.miner.as_ref())
    }

    fn wanted(&self) -> Wanted<'_> {
        Wanted {
            caller: self.caller.as_ref().map(CallerId::as_str),
            key: self.key.as_ref().map(KeyId::as_str),
            model: self.model.as_deref(),
            miner: self.miner.as_ref().map(NodeId::as_str),
        }
    }

    fn holds(&self, at: UnixMillis) -> bool {
        self.from.is_none_or(|from| from <= at) && self.until.is_none_or(|until| at < until)
    }

    fn wants_entry(&self, entry: &Entry) -> bool {
        self.holds(entry.closing.at) && self.wants(&Group::of(entry))
    }

    /// Whether anything that ended between these moments, both included, is asked for.
    fn overlaps(&self, (first, last): (UnixMillis, UnixMillis)) -> bool {
        self.from.is_none_or(|from| from <= last) && self.until.is_none_or(|until| first < until)
    }

    /// Whether all of a day is asked for, or nothing of it.
    fn has_day(&self, day: calendar::Day) -> Option<bool> {
        let (start, end) = (calendar::start(day), calendar::start(day + 1));
        if !self.overlaps((start, end - 1)) {
            return Some(false);
        }
        (self.holds(start) && self.holds(end - 1)).then_some(true)
    }

    /// Whether sums of days are enough to answer this from a segment.
    fn is_of_days(&self, summary: &Summary) -> bool {
        let mut days = summary.groups.keys().map(|group| group.day).collect::<Vec<_>>();
        days.dedup();
        days.into_iter().all(|day| self.has_day(day).is_some())
    }
}
