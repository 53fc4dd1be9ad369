//! Times as Ollama writes them.

use std::time::{SystemTime, UNIX_EPOCH};

use synapse_core::Date;
use tokio::time::Instant;

/// Now, as RFC 3339 in UTC with microseconds.
pub(super) fn now() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    rfc3339(since.as_secs(), since.subsec_micros())
}

/// How long it is since `then`, in nanoseconds.
pub(super) fn nanoseconds(then: Instant) -> u64 {
    u64::try_from(then.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

fn rfc3339(seconds: u64, micros: u32) -> String {
    let second = seconds % 86_400;
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!(
        "{}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z",
        Date::of_unix_seconds(seconds)
    )
}

#[cfg(test)]
mod tests {
    use super::rfc3339;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (seconds, date) in [
            (0, "1970-01-01T00:00:00.000007Z"),
            (951_782_400, "2000-02-29T00:00:00.000007Z"),
            (1_709_251_199, "2024-02-29T23:59:59.000007Z"),
            (1_735_689_600, "2025-01-01T00:00:00.000007Z"),
            (4_102_444_799, "2099-12-31T23:59:59.000007Z"),
        ] {
            assert_eq!(rfc3339(seconds, 7), date);
        }
    }
}
