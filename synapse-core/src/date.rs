//! Days of the calendar, in UTC.

use std::{fmt, str::FromStr, time::SystemTime};

use crate::Error;

const DAY_SECONDS: u64 = 24 * 3_600;

/// A day of UTC, by the Gregorian calendar.
///
/// ```
/// use synapse_core::Date;
///
/// let day: Date = "2026-11-23".parse()?;
/// assert_eq!(day.days(), 20_780);
/// assert_eq!(day.first_of_month().to_string(), "2026-11-01");
/// assert_eq!(day.first_of_next_month().to_string(), "2026-12-01");
/// # Ok::<(), synapse_core::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date {
    days: u32,
}

impl Date {
    /// The day so many days after the first of 1970.
    #[must_use]
    pub fn from_days(days: u32) -> Self {
        Self { days }
    }

    /// The day of this time; the first of 1970 for times before.
    #[must_use]
    pub fn of(time: SystemTime) -> Self {
        let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self::of_unix_seconds(since.as_secs())
    }

    /// The day of a time in seconds since 1970.
    #[must_use]
    pub fn of_unix_seconds(seconds: u64) -> Self {
        let days = u32::try_from(seconds / DAY_SECONDS).unwrap_or(u32::MAX);
        Self { days }
    }

    /// Days since the first of 1970.
    #[must_use]
    pub fn days(self) -> u32 {
        self.days
    }

    /// When it begins, in seconds since 1970.
    #[must_use]
    pub fn unix_seconds(self) -> u64 {
        u64::from(self.days) * DAY_SECONDS
    }

    /// Year, month from 1, day from 1: Howard Hinnant's `civil_from_days`, whose years begin in March, so that the leap day
    /// is the last.
    #[must_use]
    pub fn civil(self) -> (u32, u32, u32) {
        let days = u64::from(self.days) + 719_468;
        let (era, of_era) = (days / 146_097, days % 146_097);
        let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let from_march = (5 * of_year + 2) / 153;
        let day = of_year - (153 * from_march + 2) / 5 + 1;
        let month = if from_march < 10 {
            from_march + 3
        } else {
            from_march - 9
        };
        let year = era * 400 + year_of_era + u64::from(month <= 2);
        let small = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
        (small(year), small(month), small(day))
    }

    /// The first day of its month.
    #[must_use]
    pub fn first_of_month(self) -> Self {
        let (_, _, day) = self.civil();
        Self {
            days: self.days - (day - 1),
        }
    }

    /// The first day of the month after its own.
    #[must_use]
    pub fn first_of_next_month(self) -> Self {
        // No month has more than 31 days, and none fewer than 28.
        Self {
            days: self.first_of_month().days.saturating_add(31),
        }
        .first_of_month()
    }

    /// The day after.
    #[must_use]
    pub fn next(self) -> Self {
        Self {
            days: self.days.saturating_add(1),
        }
    }

    /// The day of this year, month from 1 and day from 1; `None` where the calendar has no such day, or it is before 1970.
    #[must_use]
    pub fn from_civil(year: u32, month: u32, day: u32) -> Option<Self> {
        if year < 1970 || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
            return None;
        }
        let year = u64::from(year) - u64::from(month <= 2);
        let (era, year_of_era) = (year / 400, year % 400);
        let from_march = u64::from(if month > 2 { month - 3 } else { month + 9 });
        let of_year = (153 * from_march + 2) / 5 + u64::from(day) - 1;
        let of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + of_year;
        let days = era * 146_097 + of_era - 719_468;
        let date = Self {
            days: u32::try_from(days).ok()?,
        };
        // Such as the 31st of a month that has 30 days.
        (date.civil() == (u32::try_from(year).ok()? + u32::from(month <= 2), month, day)).then_some(date)
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = self.civil();
        write!(f, "{year:04}-{month:02}-{day:02}")
    }
}

impl FromStr for Date {
    type Err = Error;

    /// Reads a day as it is printed: `2026-11-23`.
    fn from_str(text: &str) -> Result<Self, Error> {
        let number = |part: &str, digits: usize| {
            let plain = part.len() == digits && part.bytes().all(|byte| byte.is_ascii_digit());
            plain.then(|| part.parse::<u32>().ok()).flatten()
        };
        let mut parts = text.splitn(3, '-');
        let mut next = |digits| parts.next().and_then(|part| number(part, digits));
        let (year, month, day) = (next(4), next(2), next(2));
        year.zip(month)
            .zip(day)
            .and_then(|((year, month), day)| Self::from_civil(year, month, day))
            .ok_or_else(|| {
                Error::invalid("invalid_date", format!("{text:?} is no day of the calendar"))
                    .with_hint("write year, month and day, such as 2026-11-23")
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_day_of_four_centuries_reads_back() {
        let mut last = (1969, 12, 31);
        for days in 0..160_000 {
            let date = Date::from_days(days);
            let civil = date.civil();
            assert!(civil > last, "{civil:?} after {last:?}");
            assert_eq!(date.to_string().parse::<Date>().unwrap(), date);
            assert_eq!(date.first_of_month().civil().2, 1);
            assert!(date.first_of_next_month() > date);
            last = civil;
        }
    }

    #[test]
    fn days_that_are_none_are_refused() {
        for text in [
            "",
            "2026-11-31",
            "2026-02-29",
            "2100-02-29",
            "2026-13-01",
            "2026-00-01",
            "1969-12-31",
            "2026-1-01",
            "2026-11-23x",
            "26-11-23",
            "2026/11/23",
            "+026-01-01",
        ] {
            assert_eq!(text.parse::<Date>().unwrap_err().code(), "invalid_date", "{text}");
        }
        assert_eq!(
            "2024-02-29".parse::<Date>().unwrap().next().to_string(),
            "2024-03-01"
        );
    }
}
