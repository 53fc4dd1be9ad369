//! Days and months of UTC, and the clock of a process that no operator's `date` moves.

use std::time::{Duration, UNIX_EPOCH};

use synapse_core::{Date, WallClock};
use tokio::time::Instant;

use super::{gcra::Nanos, quota::Period};

const DAY: u64 = 86_400;

/// A moment of both clocks: the one of windows that refill, and the calendar's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moment {
    /// Since the clock began.
    pub(super) nanos: Nanos,
    /// Since 1970, in UTC.
    pub(super) unix: Duration,
}

/// The time of day is read once. From then on tokio's clock tells it, so that nothing runs back or jumps.
#[derive(Debug)]
pub(super) struct Clock {
    began: Instant,
    anchor: Duration,
}

impl Clock {
    pub(super) fn start(wall: &dyn WallClock) -> Self {
        Self {
            began: Instant::now(),
            // A time of day before 1970 is no time of day.
            anchor: wall.now().duration_since(UNIX_EPOCH).unwrap_or_default(),
        }
    }

    /// The time of day at which it began.
    pub(super) fn began(&self) -> Duration {
        self.anchor
    }

    pub(super) fn now(&self) -> Moment {
        let elapsed = self.began.elapsed();
        Moment {
            nanos: u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX),
            unix: self.anchor + elapsed,
        }
    }
}

impl Period {
    /// The number of the day, or of the month, counted from 1970.
    pub(super) fn number(self, unix: Duration) -> u64 {
        let day = unix.as_secs() / DAY;
        match self {
            Self::CalendarMonth => month_of(day),
            _ => day,
        }
    }

    /// When the day, or the month, began that holds this moment.
    pub(super) fn began(self, unix: Duration) -> Duration {
        match self.number(unix).checked_sub(1) {
            Some(before) => self.ends(before),
            None => Duration::ZERO,
        }
    }

    /// When the day, or the month, of this number is over.
    pub(super) fn ends(self, number: u64) -> Duration {
        let day = match self {
            Self::CalendarMonth => first_day(number + 1),
            _ => number + 1,
        };
        Duration::from_secs(day * DAY)
    }
}

/// Months since January 1970 of a day since 1970-01-01.
fn month_of(day: u64) -> u64 {
    let (year, month, _) = Date::from_days(u32::try_from(day).unwrap_or(u32::MAX)).civil();
    u64::from(year - 1970) * 12 + u64::from(month - 1)
}

/// The first day of a month, both counted from 1970; beyond the calendar there is no end.
fn first_day(month: u64) -> u64 {
    let year = u32::try_from(1970 + month / 12).ok();
    let month = u32::try_from(month % 12 + 1).ok();
    year.zip(month)
        .and_then(|(year, month)| Date::from_civil(year, month, 1))
        .map_or(u64::from(u32::MAX), |date| u64::from(date.days()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_begin_and_end_where_the_calendar_says() {
        // (year, month, days since 1970), by `date -u -d YYYY-MM-01 +%s` / 86400.
        for (year, month, day) in [
            (1970, 1, 0),
            (1970, 2, 31),
            (1972, 3, 790),
            (2000, 3, 11_017),
            (2024, 3, 19_783),
            (2026, 11, 20_758),
            (2100, 3, 47_541),
        ] {
            let number = (year - 1970) * 12 + month - 1;
            assert_eq!(first_day(number), day, "{year}-{month}");
            assert_eq!(month_of(day), number, "{year}-{month}-01");
            assert_eq!(month_of(day.max(1) - 1), number.max(1) - 1, "the day before");
        }
    }

    #[test]
    fn every_day_of_four_centuries_is_in_its_month() {
        for day in 0..146_097 {
            let month = month_of(day);
            assert!(first_day(month) <= day && day < first_day(month + 1), "{day}");
        }
    }
}
