//! Moments of UTC, as a price book has them.

use std::fmt;

use synapse_core::Date;

use crate::ledger::{UnixMillis, show_time};

/// A moment of UTC, shown as `2026-11-01T00:00:00Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Moment(pub(super) UnixMillis);

impl Moment {
    /// When this day begins.
    pub(super) fn midnight(date: Date) -> Self {
        Self(date.unix_seconds() * 1_000)
    }

    pub(super) fn date(self) -> Date {
        Date::of_unix_seconds(self.0 / 1_000)
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&show_time(self.0))
    }
}
