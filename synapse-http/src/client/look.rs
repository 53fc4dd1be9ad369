//! One look at an endpoint, by somebody who does not say who he is.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::{HeaderMap, Method, StatusCode, header};
use synapse_core::{Error, ErrorKind};
use tokio::time::timeout;

use super::Builder;
use crate::headers::CLOCK;

/// The longest wait for the head of a reply.
const LIMIT: Duration = Duration::from_secs(10);

/// What the head of a reply said to a request that nobody signed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Look {
    /// Its status: 401 of a node that demands signatures.
    pub status: StatusCode,
    /// The node's clock, where it [says so](CLOCK) in a refusal.
    pub clock: Option<SystemTime>,
    /// The server's clock in whole seconds, as servers of HTTP commonly say.
    pub date: Option<SystemTime>,
}

impl Builder {
    /// Asks the endpoint for `path` once, as these settings dial it, without a signature: for whoever wants to know how a
    /// node treats strangers, or what time it has there.
    ///
    /// # Errors
    /// As [`build`](Self::build), and where there is no reply within 10 s, or who answers is not the member.
    pub async fn look(self, path: &str) -> Result<Look, Error> {
        let (transport, _) = self.transport()?;
        let request = transport.request(Method::GET, path)?;
        let response = timeout(LIMIT, transport.send(request, transport.base())).await;
        let response = response.map_err(|_| {
            Error::new(
                ErrorKind::Timeout,
                "head_timeout",
                format!("{}{path} did not answer within {LIMIT:?}", transport.base()),
            )
        })??;
        Ok(Look {
            status: response.status(),
            clock: clock(response.headers()),
            date: date(response.headers()),
        })
    }
}

fn clock(headers: &HeaderMap) -> Option<SystemTime> {
    let nanos = headers.get(CLOCK)?.to_str().ok()?.parse().ok()?;
    UNIX_EPOCH.checked_add(Duration::from_nanos(nanos))
}

fn date(headers: &HeaderMap) -> Option<SystemTime> {
    httpdate::parse_http_date(headers.get(header::DATE)?.to_str().ok()?).ok()
}
