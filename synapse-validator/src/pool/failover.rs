//! Whose fault an error is, and what the client hears when everybody failed.

use std::time::Duration;

use synapse_core::{Error, ErrorKind, Retry};

use super::PATIENCE;

/// Whose fault a member's error is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The client's: everybody would answer so.
    CallersFault,
    /// Nobody's: the member has no room, or none for this gateway.
    Refused,
    /// The member's.
    Failed,
}

impl Verdict {
    /// To a member the pool is the caller. So one that asks for less, or knows nothing of the model that it advertises,
    /// or does not accept the gateway's identity, does not speak of the client.
    pub(super) fn of(error: &Error) -> Self {
        match error.kind() {
            ErrorKind::Invalid | ErrorKind::TooLarge | ErrorKind::Unsupported => Self::CallersFault,
            ErrorKind::Overloaded | ErrorKind::RateLimited => Self::Refused,
            _ => Self::Failed,
        }
    }
}

/// Whether somebody else may be asked after this error.
pub(super) fn may_ask_another(error: &Error) -> bool {
    match error.kind() {
        ErrorKind::RateLimited
        | ErrorKind::NotFound
        | ErrorKind::Unauthenticated
        | ErrorKind::Forbidden
        | ErrorKind::Overloaded => true,
        _ => Verdict::of(error) == Verdict::Failed && error.retry() != Retry::Never,
    }
}

/// The attempts of one request that failed.
#[derive(Debug, Default)]
pub(super) struct Failures {
    last: Option<Error>,
    soonest: Option<Duration>,
    any_failed: bool,
}

impl Failures {
    pub(super) fn add(&mut self, error: Error) {
        match (Verdict::of(&error), error.retry()) {
            (Verdict::Refused, Retry::After(wait)) => {
                self.soonest = Some(self.soonest.map_or(wait, |soonest| soonest.min(wait)));
            }
            (Verdict::Refused, _) => {}
            _ => self.any_failed = true,
        }
        self.last = Some(error);
    }

    /// What the client hears; `None` where nobody was asked.
    pub(super) fn into_error(self) -> Option<Error> {
        let last = self.last?;
        if !self.any_failed {
            return Some(
                Error::new(
                    ErrorKind::Overloaded,
                    "miners_overloaded",
                    "every miner that was asked has no room now",
                )
                .with_retry(Retry::After(self.soonest.unwrap_or(PATIENCE)))
                .with_source(last),
            );
        }
        Some(match last.kind() {
            ErrorKind::NotFound
            | ErrorKind::Unauthenticated
            | ErrorKind::Forbidden
            | ErrorKind::RateLimited => {
                Error::unavailable("miners_refused", "no miner that was asked took the request")
                    .with_retry(Retry::After(PATIENCE))
                    .with_source(last)
            }
            _ => last,
        })
    }
}
