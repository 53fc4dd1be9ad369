//! What a caller has left, in the headers that OpenAI's clients read.

use std::{error::Error as StdError, time::Duration};

use http::{HeaderMap, HeaderName, HeaderValue};
use synapse_core::{Error, RateLimitStatus, RateLimited, WindowStatus};

/// The headers of one unit: what a full window holds, what is left, and how long until it is full.
struct Names {
    limit: HeaderName,
    remaining: HeaderName,
    reset: HeaderName,
}

const REQUESTS: Names = Names {
    limit: HeaderName::from_static("x-ratelimit-limit-requests"),
    remaining: HeaderName::from_static("x-ratelimit-remaining-requests"),
    reset: HeaderName::from_static("x-ratelimit-reset-requests"),
};
const TOKENS: Names = Names {
    limit: HeaderName::from_static("x-ratelimit-limit-tokens"),
    remaining: HeaderName::from_static("x-ratelimit-remaining-tokens"),
    reset: HeaderName::from_static("x-ratelimit-reset-tokens"),
};

/// Says what is left of what is limited.
pub(super) fn say(headers: &mut HeaderMap, status: &RateLimitStatus) {
    for (names, window) in [(REQUESTS, status.requests), (TOKENS, status.tokens)] {
        let Some(window) = window else { continue };
        say_window(headers, names, window);
    }
}

/// The same of an error, where a rate limit is its cause.
pub(super) fn say_refused(headers: &mut HeaderMap, error: &Error) {
    let mut cause = error.source();
    while let Some(current) = cause {
        if let Some(RateLimited(status)) = current.downcast_ref() {
            return say(headers, status);
        }
        cause = current.source();
    }
}

fn say_window(headers: &mut HeaderMap, names: Names, window: WindowStatus) {
    headers.insert(names.limit, window.limit().into());
    headers.insert(names.remaining, window.remaining().into());
    if let Ok(reset) = HeaderValue::try_from(written(window.reset())) {
        headers.insert(names.reset, reset);
    }
}

/// A length of time as OpenAI writes it, `20ms`, `1.5s` or `6m0s`: whole milliseconds, rounded up.
fn written(time: Duration) -> String {
    let millis = time.as_nanos().div_ceil(1_000_000);
    let (whole, millis) = (millis / 1000, millis % 1000);
    if whole == 0 && millis > 0 {
        return format!("{millis}ms");
    }
    let (hours, minutes, seconds) = (whole / 3600, whole / 60 % 60, whole % 60);
    let seconds = match millis {
        0 => seconds.to_string(),
        _ => format!("{seconds}.{millis:03}").trim_end_matches('0').to_owned(),
    };
    match (hours, minutes) {
        (0, 0) => format!("{seconds}s"),
        (0, _) => format!("{minutes}m{seconds}s"),
        (_, _) => format!("{hours}h{minutes}m{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_openai_writes_them() {
        for (time, text) in [
            (Duration::ZERO, "0s"),
            (Duration::from_nanos(1), "1ms"),
            (Duration::from_millis(20), "20ms"),
            (Duration::from_nanos(999_000_001), "1s"),
            (Duration::from_secs(1), "1s"),
            (Duration::from_millis(1500), "1.5s"),
            (Duration::from_millis(8640), "8.64s"),
            (Duration::from_secs(60), "1m0s"),
            (Duration::from_secs(360), "6m0s"),
            (Duration::from_millis(63_050), "1m3.05s"),
            (Duration::from_secs(86_400), "24h0m0s"),
            (Duration::from_nanos(u64::MAX), "5124095h34m33.71s"),
        ] {
            assert_eq!(written(time), text);
        }
    }
}
