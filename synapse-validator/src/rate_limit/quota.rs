//! How much a caller may ask for.

use std::{fmt, time::Duration};

/// How much a caller may ask for: at most one window of requests and one of tokens.
///
/// A window holds all of its amount at once (its *burst*) and refills evenly: 60 a minute are 60 at once, and one more
/// each second. An amount of 0 lets nothing in: every request that takes some of it is refused with `quota_is_zero`.
///
/// ```
/// use synapse_validator::rate_limit::Quota;
/// let quota = Quota::requests_per_minute(60).and(Quota::tokens_per_day(200_000));
/// assert_eq!(quota.to_string(), "60 requests per minute, 200000 tokens per day");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    pub(super) requests: Option<Window>,
    pub(super) tokens: Option<Window>,
}

/// An amount a period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) amount: u64,
    pub(super) period: Period,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Period {
    Second,
    Minute,
    Hour,
    Day,
}

macro_rules! windows {
    ($($(#[$doc:meta])* $name:ident: $unit:ident per $period:ident;)*) => {
        $(
            $(#[$doc])*
            #[must_use]
            pub const fn $name(amount: u64) -> Self {
                Self {
                    $unit: Some(Window { amount, period: Period::$period }),
                    ..Self::NONE
                }
            }
        )*
    };
}

impl Quota {
    const NONE: Self = Self {
        requests: None,
        tokens: None,
    };

    windows! {
        /// So many requests each second.
        requests_per_second: requests per Second;
        /// So many requests each minute.
        requests_per_minute: requests per Minute;
        /// So many requests each hour.
        requests_per_hour: requests per Hour;
        /// So many requests each day.
        requests_per_day: requests per Day;
        /// So many tokens, prompts and replies together, each second.
        tokens_per_second: tokens per Second;
        /// So many tokens, prompts and replies together, each minute.
        tokens_per_minute: tokens per Minute;
        /// So many tokens, prompts and replies together, each hour.
        tokens_per_hour: tokens per Hour;
        /// So many tokens, prompts and replies together, each day.
        tokens_per_day: tokens per Day;
    }

    /// Both quotas. Where both have a window of the same unit, the other's wins.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self {
            requests: if other.requests.is_some() {
                other.requests
            } else {
                self.requests
            },
            tokens: if other.tokens.is_some() {
                other.tokens
            } else {
                self.tokens
            },
        }
    }
}

impl Period {
    pub(super) fn length(self) -> Duration {
        Duration::from_secs(match self {
            Self::Second => 1,
            Self::Minute => 60,
            Self::Hour => 3_600,
            Self::Day => 86_400,
        })
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Second => "second",
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day",
        }
    }
}

impl fmt::Display for Quota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.requests, self.tokens) {
            (Some(requests), Some(tokens)) => {
                write!(
                    f,
                    "{}, {}",
                    requests.named(Unit::Requests),
                    tokens.named(Unit::Tokens)
                )
            }
            (Some(requests), None) => f.write_str(&requests.named(Unit::Requests)),
            (None, Some(tokens)) => f.write_str(&tokens.named(Unit::Tokens)),
            (None, None) => f.write_str("no limit"),
        }
    }
}

/// What a window counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Requests,
    Tokens,
}

impl Window {
    /// `60 requests per minute`.
    pub(super) fn named(self, unit: Unit) -> String {
        let unit = match unit {
            Unit::Requests => "requests",
            Unit::Tokens => "tokens",
        };
        format!("{} {unit} per {}", self.amount, self.period.as_str())
    }
}
