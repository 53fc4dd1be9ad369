//! Whether a request fits, and what is said where it does not: the same whoever keeps the accounts.

use std::time::Duration;

use synapse_core::{Error, ErrorKind, RateLimitStatus, RateLimited, Retry, WindowStatus};

use super::{
    account::Scope,
    demand::{Cost, Demands},
    quota::{Unit, Window},
};

/// What is used of a window at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    /// In units × nanoseconds of its period.
    Refills(u128),
    /// In units, of a budget that begins anew after a while.
    Budget { used: u64, ends_in: Duration },
}

impl Level {
    /// `used` of a budget's present day or month.
    pub(super) fn budget(window: Window, unix: Duration, used: u64) -> Self {
        let period = window.kind.period;
        Self::Budget {
            used,
            ends_in: period.ends(period.number(unix)).saturating_sub(unix),
        }
    }

    /// As far as `window` holds it; a budget's use is a fact.
    pub(super) fn within(self, window: Window) -> Self {
        match self {
            Self::Refills(level) => Self::Refills(level.min(window.capacity())),
            budget @ Self::Budget { .. } => budget,
        }
    }

    /// How many units of a window that refills are used, rounded up.
    pub(super) fn units(self, window: Window) -> Option<u64> {
        match self {
            Self::Refills(level) => Some(window.units(level + window.cost(1) - 1)),
            Self::Budget { .. } => None,
        }
    }

    pub(super) fn is_zero(self) -> bool {
        matches!(self, Self::Refills(0) | Self::Budget { used: 0, .. })
    }

    pub(super) fn fits(self, window: Window, units: u64) -> bool {
        match self {
            Self::Refills(level) => level + window.cost(units) <= window.capacity(),
            Self::Budget { used, .. } => used.saturating_add(units) <= window.amount,
        }
    }

    pub(super) fn plus(self, window: Window, units: u64) -> Self {
        match self {
            Self::Refills(level) => Self::Refills(level + window.cost(units)),
            Self::Budget { used, ends_in } => Self::Budget {
                used: used.saturating_add(units),
                ends_in,
            },
        }
    }

    /// How long it takes until `units` fit that do not.
    pub(super) fn wait(self, window: Window, units: u64) -> Duration {
        match self {
            Self::Refills(level) => {
                window.time((level + window.cost(units)).saturating_sub(window.capacity()))
            }
            Self::Budget { ends_in, .. } => ends_in,
        }
    }

    pub(super) fn status(self, window: Window) -> WindowStatus {
        match self {
            Self::Refills(level) => {
                let left = window.units(window.capacity().saturating_sub(level));
                WindowStatus::new(window.amount, left, window.time(level))
            }
            Self::Budget { used, ends_in } => {
                WindowStatus::new(window.amount, window.amount.saturating_sub(used), ends_in)
            }
        }
    }
}

/// Of each unit the window that is nearest to its end: that has least left, and takes longest to be full.
#[derive(Debug, Default)]
pub(super) struct Nearest(RateLimitStatus);

impl Nearest {
    pub(super) fn add(&mut self, window: Window, level: Level) {
        let status = level.status(window);
        let nearest = match window.kind.unit {
            Unit::Requests => &mut self.0.requests,
            Unit::Tokens => &mut self.0.tokens,
        };
        let is_nearer = |other: WindowStatus| {
            status.remaining() < other.remaining()
                || status.remaining() == other.remaining() && status.reset() > other.reset()
        };
        if nearest.is_none_or(is_nearer) {
            *nearest = Some(status);
        }
    }

    pub(super) fn status(self) -> RateLimitStatus {
        self.0
    }
}

/// Why a request is not let in.
#[derive(Debug)]
pub(super) struct Refused {
    /// Whose window it was; `None` where it was none's.
    pub(super) scope: Option<Scope>,
    pub(super) error: Error,
}

/// The windows that do not hold what a request takes: of several, the one that takes longest.
#[derive(Debug, Default)]
pub(super) struct Lacking(Option<(Duration, Scope, Window, Level)>);

impl Lacking {
    pub(super) fn weigh(&mut self, scope: Scope, window: Window, level: Level, units: u64) {
        if level.fits(window, units) {
            return;
        }
        let wait = level.wait(window, units);
        if self.0.is_none_or(|(longest, ..)| wait > longest) {
            self.0 = Some((wait, scope, window, level));
        }
    }

    pub(super) fn is_some(&self) -> bool {
        self.0.is_some()
    }

    /// # Errors
    /// Which window has not enough, and when it has; with what is left of all.
    pub(super) fn refuse(
        &self,
        demands: &Demands,
        cost: Cost,
        status: RateLimitStatus,
    ) -> Result<(), Refused> {
        let Some((wait, scope, window, level)) = self.0 else {
            return Ok(());
        };
        let error = match level {
            Level::Refills(_) => used_up(scope, window, wait),
            Level::Budget { used, .. } => {
                exhausted(scope, window, used, cost.of(window), wait, demands.cap())
            }
        };
        Err(Refused {
            scope: Some(scope),
            error: error
                .with_retry(Retry::After(wait))
                .with_source(RateLimited(status)),
        })
    }
}

/// # Errors
/// Where a window never holds what the request takes.
pub(super) fn check_amounts(demands: &Demands, cost: Cost) -> Result<(), Refused> {
    for demand in demands.iter() {
        let scope = demand.whose.scope();
        for window in demand.quota.windows() {
            let units = cost.of(window);
            if units > window.amount {
                let error = if window.amount == 0 {
                    holds_nothing(scope, window)
                } else {
                    exceeds(scope, window, units, demands.cap())
                };
                return Err(Refused {
                    scope: Some(scope),
                    error,
                });
            }
        }
    }
    Ok(())
}

fn in_seconds(wait: Duration) -> u128 {
    wait.as_nanos().div_ceil(1_000_000_000)
}

fn used_up(scope: Scope, window: Window, wait: Duration) -> Error {
    Error::new(
        ErrorKind::RateLimited,
        "rate_limited",
        format!("{} quota of {window} is used up", scope.possessive()),
    )
    .with_hint(format!("the same request fits in {} s", in_seconds(wait)))
}

fn exhausted(scope: Scope, window: Window, used: u64, units: u64, wait: Duration, cap: &str) -> Error {
    Error::new(
        ErrorKind::RateLimited,
        "budget_exhausted",
        format!(
            "{} budget of {window} has {} left, and the request may take {units}",
            scope.possessive(),
            window.amount.saturating_sub(used)
        ),
    )
    .with_hint(format!(
        "shorten the prompt or lower {cap}, or wait {} s for the next budget",
        in_seconds(wait)
    ))
}

fn exceeds(scope: Scope, window: Window, units: u64, cap: &str) -> Error {
    Error::invalid(
        "request_exceeds_quota",
        format!(
            "the request may take {units}, and {} quota of {window} never holds so much",
            scope.possessive()
        ),
    )
    .with_hint(format!("shorten the prompt or lower {cap}"))
}

fn holds_nothing(scope: Scope, window: Window) -> Error {
    Error::new(
        ErrorKind::Forbidden,
        "quota_is_zero",
        format!(
            "{} quota is {window}, so that no request is let in",
            scope.possessive()
        ),
    )
    .with_hint("ask the operator for a quota")
}
