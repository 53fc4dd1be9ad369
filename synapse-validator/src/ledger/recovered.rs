//! What opening a ledger found.

use std::fmt;

/// What opening a ledger found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Recovered {
    /// There was no ledger, and an empty one was begun.
    pub is_new: bool,
    /// Rows that were read. What earlier rows add up to was stored.
    pub rows: u64,
    /// Requests that were going on when the last process ended: closed now as `interrupted`, and charged nothing.
    pub interrupted: u64,
    /// Bytes at the end that the disk was never asked to keep, or never said to have kept: cut off, and kept in `torn/`.
    pub torn_bytes: u64,
    /// Bytes that are not what was written: kept in `corrupt/`. Only where an operator chose to go on.
    pub corrupt_bytes: u64,
    /// Segments that are gone. Only where an operator chose to go on.
    pub lost_segments: u64,
    /// What an operator should know, a sentence each.
    pub notes: Vec<String>,
}

impl fmt::Display for Recovered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} rows read, {} requests closed as interrupted",
            self.rows, self.interrupted
        )?;
        self.notes.iter().try_for_each(|note| write!(f, "; {note}"))
    }
}
