//! What a server said when it refused.

use std::{borrow::Cow, error::Error as StdError, fmt, time::Duration};

use http::StatusCode;
use synapse_core::{Error, ErrorKind};

/// How long an upstream's wish to be left alone is believed.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);

/// What a server said when it refused or failed: the [source](StdError::source) of the [`Error`] that its reply became.
///
/// A pool that wants to leave a miner alone for as long as it asked reads it with [`Upstream::of`]. What the server wrote is
/// kept here rather than in the error's message where it is not about the request: it may name accounts and keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Upstream {
    status: Option<StatusCode>,
    retry_after: Option<Duration>,
    said: Option<String>,
}

impl Upstream {
    pub(crate) fn new(status: StatusCode, retry_after: Option<Duration>) -> Self {
        Self {
            status: Some(status),
            retry_after: retry_after.map(|after| after.min(LONGEST_WAIT)),
            said: None,
        }
    }

    /// What the server said, where `error` or one of its sources is a server's.
    #[must_use]
    pub fn of(error: &Error) -> Option<&Self> {
        let mut cause = error.source();
        while let Some(current) = cause {
            if let Some(found) = current.downcast_ref() {
                return Some(found);
            }
            cause = current.source();
        }
        None
    }

    /// The status of its reply; `None` where the reply had begun before it failed.
    #[must_use]
    pub fn status(&self) -> Option<StatusCode> {
        self.status
    }

    /// How long it wants to be left alone; at most an hour.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// What it wrote, without control characters, at most 1024 characters.
    #[must_use]
    pub fn said(&self) -> Option<&str> {
        self.said.as_deref()
    }

    pub(crate) fn or_retry_after(mut self, after: Option<Duration>) -> Self {
        self.retry_after = self.retry_after.or(after.map(|after| after.min(LONGEST_WAIT)));
        self
    }

    /// `error` with this as its source, saying when the server would answer again.
    pub(crate) fn bearing_its_wait(self, error: Error) -> Error {
        let error = match self.retry_after {
            Some(wait) => error.with_retry_after(wait),
            None => error,
        };
        error.with_source(self)
    }

    /// The error of a server that is not ours. What it says of the request is passed on; what it says of itself, or of the
    /// key that it was asked with, is not.
    pub(crate) fn into_error(mut self, kind: ErrorKind, code: Option<String>, said: Option<String>) -> Error {
        let (fallback, generic) = match (kind, self.status.map_or(0, |status| status.as_u16())) {
            (ErrorKind::Unavailable, 401..=403 | 407) => (
                "upstream_refused_us",
                "the endpoint refused the key that it was asked with",
            ),
            (ErrorKind::Unavailable, _) => ("upstream_unavailable", "the endpoint cannot answer now"),
            (ErrorKind::Overloaded, _) => (
                "upstream_overloaded",
                "the endpoint takes no more requests for now",
            ),
            (ErrorKind::Timeout, _) => ("upstream_timeout", "the endpoint took too long"),
            (kind, _) if kind.is_callers_fault() => ("upstream_refused", "the endpoint refused the request"),
            _ => ("upstream_failed", "the endpoint failed"),
        };
        let error = if kind.is_callers_fault() {
            let message = said.clone().map_or(Cow::Borrowed(generic), Cow::Owned);
            Error::new(kind, code.map_or(Cow::Borrowed(fallback), Cow::Owned), message)
        } else {
            Error::new(kind, fallback, generic)
        };
        self.said = said;
        self.bearing_its_wait(error)
    }
}

impl fmt::Display for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.status {
            Some(status) => write!(f, "the server replied {status}")?,
            None => f.write_str("the server failed within its reply")?,
        }
        match &self.said {
            Some(said) => write!(f, ": {said}"),
            None => Ok(()),
        }
    }
}

impl StdError for Upstream {}
