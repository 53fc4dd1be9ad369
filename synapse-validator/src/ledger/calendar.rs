//! Days and months of UTC.

use synapse_core::{Date, Error};

use super::UnixMillis;

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// A day of UTC, counted from 1970-01-01.
pub(super) type Day = u64;

/// The stretch over which spending is summed up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Span {
    /// The day of UTC.
    Day,
    /// The month of UTC.
    Month,
}

impl Span {
    /// The days of the span that holds this moment, first and last.
    pub(super) fn days(self, at: UnixMillis) -> (Day, Day) {
        let day = day(at);
        match self {
            Self::Day => (day, day),
            Self::Month => {
                let (first, next) = (date(day).first_of_month(), date(day).first_of_next_month());
                (u64::from(first.days()), u64::from(next.days()) - 1)
            }
        }
    }
}

/// The day that holds this moment.
pub(super) fn day(at: UnixMillis) -> Day {
    at / DAY_MS
}

/// The first moment of a day.
pub(super) fn start(day: Day) -> UnixMillis {
    day.saturating_mul(DAY_MS)
}

/// Reads a moment of UTC as ISO 8601 has it: `2026-03-01`, which is when that day begins, `2026-03-01T12:30:00Z`.
///
/// # Errors
/// `invalid_time`.
pub fn read_time(text: &str) -> Result<UnixMillis, Error> {
    parse_time(text).ok_or_else(|| {
        Error::invalid("invalid_time", format!("{text:?} is no moment of UTC"))
            .with_hint("write a day, such as 2026-03-01, or a second, such as 2026-03-01T12:30:00Z")
    })
}

fn parse_time(text: &str) -> Option<UnixMillis> {
    let number = |text: &str, most: u64| {
        let is_number = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<u64>()
            .ok()
            .filter(|number| is_number && *number <= most)
    };
    let (day, time) = text.split_once('T').unwrap_or((text, "00:00:00Z"));
    let day: Date = day.parse().ok()?;
    let mut times = time.strip_suffix('Z')?.split(':');
    let (hour, minute, second) = (times.next()?, times.next()?, times.next()?);
    let seconds = number(hour, 23)? * 3600 + number(minute, 59)? * 60 + number(second, 59)?;
    times
        .next()
        .is_none()
        .then(|| (day.unix_seconds() + seconds) * 1000)
}

/// A moment as ISO 8601 has it: `2026-03-01T12:30:00Z`.
#[must_use]
pub fn show_time(at: UnixMillis) -> String {
    let second = at % DAY_MS / 1000;
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{}T{hour:02}:{minute:02}:{second:02}Z", shown(day(at)))
}

/// A day as ISO 8601 has it: `2026-03-01`.
pub(super) fn shown(day: Day) -> String {
    date(day).to_string()
}

fn date(day: Day) -> Date {
    Date::from_days(u32::try_from(day).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_read_back() {
        for at in (0..60_000_000_000_000).step_by(86_400_000 * 13 + 12_345_000) {
            assert_eq!(read_time(&show_time(at)).unwrap(), at / 1000 * 1000);
        }
        assert_eq!(read_time("2026-03-01").unwrap(), 1_772_323_200_000);
        for text in [
            "",
            "2026",
            "2026-3-1",
            "2026-02-29",
            "2026-00-01",
            "2026-01-00",
            "1969-12-31",
            "2026-03-01T",
            "2026-03-01T24:00:00Z",
            "2026-03-01T00:00:00",
            "2026-03-01-01",
            "+026-03-01",
        ] {
            assert_eq!(read_time(text).unwrap_err().code(), "invalid_time", "{text}");
        }
    }

    #[test]
    fn months_begin_and_end_where_the_calendar_says() {
        for (at, first, last) in [
            (0, "1970-01-01", "1970-01-31"),
            (951_782_400_000, "2000-02-01", "2000-02-29"),
            (1_772_323_199_999, "2026-02-01", "2026-02-28"),
            (1_772_323_200_000, "2026-03-01", "2026-03-31"),
            (1_798_761_599_999, "2026-12-01", "2026-12-31"),
            (4_107_542_400_000, "2100-03-01", "2100-03-31"),
        ] {
            let (from, to) = Span::Month.days(at);
            assert_eq!((&*shown(from), &*shown(to)), (first, last), "{at}");
        }
    }
}
