//! Whose fault an error is, who may be asked after it, and what the client hears when nobody answered.

use std::{ops::ControlFlow, sync::Arc, time::Duration};

use synapse_core::{Error, ErrorKind, Retry};

use super::{
    PATIENCE,
    balance::Observation,
    miner::Miner,
    roster::Roster,
    witness::{Outcome, Report},
};

/// Whose fault a member's error is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The client's, as the member says: everybody would answer so.
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

/// Whether an error says that the request is at fault.
pub(crate) fn blames_caller(error: &Error) -> bool {
    Verdict::of(error) == Verdict::CallersFault
}

/// Whether a failure says that everybody would fail so.
fn is_final(error: &Error) -> bool {
    let of_the_gateway = matches!(
        error.kind(),
        ErrorKind::NotFound | ErrorKind::Unauthenticated | ErrorKind::Forbidden | ErrorKind::PaymentRequired
    );
    error.retry() == Retry::Never && !of_the_gateway
}

/// The attempts of one request that were not answered.
#[derive(Debug, Default)]
pub(super) struct Failures {
    refusal: Option<Refusal>,
    last: Option<Error>,
    soonest: Option<Duration>,
    any_failed: bool,
}

/// A member's word that the request is at fault. Nobody has to trust it: another member is asked before it is believed.
#[derive(Debug)]
struct Refusal {
    miner: Arc<Miner>,
    after: Duration,
    error: Error,
    /// What the witness hears once it is believed, or contradicted.
    report: Option<Report>,
}

impl Failures {
    /// Notes that `miner` failed with `error` `after` so long, and says whether somebody else may be asked.
    pub(super) fn add(
        &mut self,
        miner: &Arc<Miner>,
        error: Error,
        after: Duration,
        report: Option<Report>,
    ) -> ControlFlow<()> {
        match Verdict::of(&error) {
            Verdict::CallersFault if self.refusal.is_some() => return ControlFlow::Break(()),
            Verdict::CallersFault => {
                self.refusal = Some(Refusal {
                    miner: miner.clone(),
                    after,
                    error,
                    report,
                });
                return ControlFlow::Continue(());
            }
            Verdict::Refused => {
                if let Some(wait) = error.retry_after() {
                    self.soonest = Some(self.soonest.map_or(wait, |soonest| soonest.min(wait)));
                }
            }
            Verdict::Failed => self.any_failed = true,
        }
        let last = self.last.insert(error);
        if Verdict::of(last) == Verdict::Failed && is_final(last) {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }

    /// Somebody answered the request after all: to the pool, whoever refused it as the caller's fault failed.
    pub(super) fn contradicted(self, roster: &Roster) {
        let Some(refusal) = self.refusal else { return };
        let Refusal {
            miner,
            after,
            error,
            report,
        } = refusal;
        tracing::debug!(miner = %miner.node(), code = error.code(), "a miner refused what another one answers");
        miner.observe(Observation::Failed(after));
        roster.note_failure(&miner);
        if let Some(report) = report {
            report.correct(Outcome::Contradicted(error.code().to_owned()));
        }
    }

    /// What the client hears; `None` where nobody was asked.
    pub(super) fn into_error(self) -> Option<Error> {
        if let Some(refusal) = self.refusal {
            return Some(refusal.error);
        }
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
            | ErrorKind::RateLimited
            | ErrorKind::PaymentRequired => {
                Error::unavailable("miners_refused", "no miner that was asked took the request")
                    .with_retry(Retry::After(PATIENCE))
                    .with_source(last)
            }
            _ => last,
        })
    }
}
