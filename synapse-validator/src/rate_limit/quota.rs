//! How much may be asked for.

use std::{fmt, time::Duration};

use synapse_core::Allowance;

/// How much may be asked for: windows of requests and of tokens, all of which hold at once.
///
/// A window holds all of its amount at once (its *burst*) and refills evenly: 60 a minute are 60 at once, and one more
/// each second. A *budget* is a window of the calendar, in UTC: what is left of it lasts until its day or month is over,
/// and then all of it is there again. An amount of 0 lets nothing in: every request that takes some of it is refused with
/// `quota_is_zero`.
///
/// ```
/// use synapse_validator::rate_limit::Quota;
/// let quota = Quota::requests_per_minute(60)
///     .and(Quota::requests_per_second(5))
///     .and(Quota::tokens_per_day(200_000));
/// assert_eq!(quota.to_string(), "5 requests per second, 60 requests per minute, 200000 tokens per day");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// By [`Kind`]; `u64::MAX` is no limit.
    amounts: [u64; KINDS],
}

/// What a window counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Requests,
    Tokens,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Period {
    Second,
    Minute,
    Hour,
    Day,
    CalendarDay,
    CalendarMonth,
}

/// What a window counts over which time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Kind {
    pub(super) unit: Unit,
    pub(super) period: Period,
}

/// An amount a period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) kind: Kind,
    pub(super) amount: u64,
}

const UNITS: [Unit; 2] = [Unit::Requests, Unit::Tokens];
const PERIODS: [Period; 6] = [
    Period::Second,
    Period::Minute,
    Period::Hour,
    Period::Day,
    Period::CalendarDay,
    Period::CalendarMonth,
];
const KINDS: usize = UNITS.len() * PERIODS.len();
const NO_LIMIT: u64 = u64::MAX;

macro_rules! windows {
    ($($(#[$doc:meta])* $name:ident: $unit:ident per $period:ident;)*) => {
        $(
            $(#[$doc])*
            #[must_use]
            pub const fn $name(amount: u64) -> Self {
                let mut quota = Self::UNLIMITED;
                let kind = Kind { unit: Unit::$unit, period: Period::$period };
                quota.amounts[kind.index()] = amount;
                quota
            }
        )*
    };
}

impl Quota {
    /// No limit at all.
    pub const UNLIMITED: Self = Self {
        amounts: [NO_LIMIT; KINDS],
    };

    windows! {
        /// So many requests each second.
        requests_per_second: Requests per Second;
        /// So many requests each minute.
        requests_per_minute: Requests per Minute;
        /// So many requests each hour.
        requests_per_hour: Requests per Hour;
        /// So many requests each day.
        requests_per_day: Requests per Day;
        /// So many tokens, prompts and replies together, each second.
        tokens_per_second: Tokens per Second;
        /// So many tokens, prompts and replies together, each minute.
        tokens_per_minute: Tokens per Minute;
        /// So many tokens, prompts and replies together, each hour.
        tokens_per_hour: Tokens per Hour;
        /// So many tokens, prompts and replies together, each day.
        tokens_per_day: Tokens per Day;
        /// A budget of tokens, prompts and replies together, for each day of UTC.
        token_budget_per_day: Tokens per CalendarDay;
        /// A budget of tokens, prompts and replies together, for each month of UTC.
        token_budget_per_month: Tokens per CalendarMonth;
    }

    /// Both quotas: the windows of both hold. Of two windows of the same unit and period the smaller one does.
    #[must_use]
    pub const fn and(mut self, other: Self) -> Self {
        let mut index = 0;
        while index < KINDS {
            if other.amounts[index] < self.amounts[index] {
                self.amounts[index] = other.amounts[index];
            }
            index += 1;
        }
        self
    }

    /// Whether there is no window.
    #[must_use]
    pub fn is_unlimited(&self) -> bool {
        self.windows().next().is_none()
    }

    pub(super) fn windows(&self) -> impl Iterator<Item = Window> + '_ {
        (0..KINDS).filter_map(|index| {
            let amount = self.amounts[index];
            (amount != NO_LIMIT).then(|| Window {
                kind: Kind::of(index),
                amount,
            })
        })
    }

    /// The smallest amount of tokens that any window holds.
    pub(super) fn least_tokens(&self) -> Option<u64> {
        let tokens = self.windows().filter(|window| window.kind.unit == Unit::Tokens);
        tokens.map(|window| window.amount).min()
    }

    /// So many percent of each window, at least 1 where it is not 0.
    #[cfg(feature = "redis")]
    pub(super) fn share(mut self, percent: u8) -> Self {
        for amount in &mut self.amounts {
            if *amount != NO_LIMIT && *amount != 0 {
                let share = u128::from(*amount) * u128::from(percent) / 100;
                *amount = u64::try_from(share).unwrap_or(NO_LIMIT).max(1);
            }
        }
        self
    }
}

impl Default for Quota {
    /// No limit.
    fn default() -> Self {
        Self::UNLIMITED
    }
}

/// What may be asked for with an API key; money is not a rate limit's.
impl From<&Allowance> for Quota {
    fn from(allowance: &Allowance) -> Self {
        let of = |amount: Option<u64>, quota: fn(u64) -> Self| amount.map_or(Self::UNLIMITED, quota);
        of(allowance.requests_per_minute, Self::requests_per_minute)
            .and(of(allowance.tokens_per_minute, Self::tokens_per_minute))
            .and(of(allowance.tokens_per_day, Self::token_budget_per_day))
            .and(of(allowance.tokens_per_month, Self::token_budget_per_month))
    }
}

impl fmt::Display for Quota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_unlimited() {
            return f.write_str("no limit");
        }
        for (at, window) in self.windows().enumerate() {
            let separator = if at == 0 { "" } else { ", " };
            write!(f, "{separator}{window}")?;
        }
        Ok(())
    }
}

impl Kind {
    pub(super) const fn index(self) -> usize {
        self.unit as usize * PERIODS.len() + self.period as usize
    }

    fn of(index: usize) -> Self {
        Self {
            unit: UNITS[index / PERIODS.len()],
            period: PERIODS[index % PERIODS.len()],
        }
    }

    /// Whether it is a window of the calendar.
    pub(super) fn is_budget(self) -> bool {
        matches!(self.period, Period::CalendarDay | Period::CalendarMonth)
    }
}

impl Period {
    /// How long a window takes to refill; for budgets, which do not, a bound.
    pub(super) fn length(self) -> Duration {
        Duration::from_secs(match self {
            Self::Second => 1,
            Self::Minute => 60,
            Self::Hour => 3_600,
            Self::Day | Self::CalendarDay => 86_400,
            Self::CalendarMonth => 31 * 86_400,
        })
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Second => "second",
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day",
            Self::CalendarDay => "day of UTC",
            Self::CalendarMonth => "month of UTC",
        }
    }
}

/// `60 requests per minute`.
impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = match self.kind.unit {
            Unit::Requests => "requests",
            Unit::Tokens => "tokens",
        };
        write!(f, "{} {unit} per {}", self.amount, self.kind.period.as_str())
    }
}
