//! What goes out signed, and what is said where a signature is refused.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use http::{HeaderMap, Uri};
use reqwest::{Request, Response};
use synapse_core::{Error, NodeId, WallClock, keys::Signer};

use super::call;
use crate::{
    headers::CLOCK,
    signed::{CODES, Stamp, btauth},
};

/// How far the clocks may be apart before that is worth a word, in nanoseconds.
const WORTH_A_WORD: u64 = 1_000_000_000;

/// Signs for one node, whomever it calls.
#[derive(Debug)]
pub(super) struct Signing {
    signer: Arc<dyn Signer>,
    /// The last nonce of all.
    last: AtomicU64,
}

/// Signs what goes to one member.
#[derive(Debug, Clone)]
pub(super) struct Outgoing {
    signing: Arc<Signing>,
    receiver: NodeId,
    clock: Arc<dyn WallClock>,
}

impl Signing {
    pub(super) fn new(signer: Arc<dyn Signer>) -> Self {
        Self {
            signer,
            last: AtomicU64::new(0),
        }
    }

    /// The time, and later than the one before. Only where the clock was set back by more than attempts can have used up
    /// is it earlier: nonces from a future that never came would be refused until it comes.
    fn nonce(&self, now: Stamp) -> Stamp {
        const SET_BACK: u64 = 1_000_000_000;
        let now = now.nanos();
        let next = |last: u64| match last.saturating_sub(now) {
            ahead if ahead > SET_BACK => now,
            _ => now.max(last.saturating_add(1)),
        };
        let last = self
            .last
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| Some(next(last)))
            .expect("the update always has a value");
        Stamp::from_nanos(next(last))
    }
}

impl Outgoing {
    /// # Errors
    /// `unsupported_scheme` where requests are not signed with the signer's.
    pub(super) fn new(
        signing: Arc<Signing>,
        receiver: NodeId,
        clock: Arc<dyn WallClock>,
    ) -> Result<Self, Error> {
        btauth::check_scheme(signing.signer.scheme())?;
        Ok(Self {
            signing,
            receiver,
            clock,
        })
    }

    fn now(&self) -> Stamp {
        Stamp::of(self.clock.now())
    }

    /// Signs `request` as it is now, for the receiver, and says when.
    pub(super) async fn sign(&self, request: &mut Request) -> Result<Stamp, Error> {
        let signed_at = self.signing.nonce(self.now());
        // As it is sent: parsed by the same type.
        let uri = Uri::try_from(request.url().as_str()).map_err(|error| {
            Error::invalid("bad_path", "the request's address cannot be signed").with_source(error)
        })?;
        let body = request.body().map_or(Some(&[][..]), reqwest::Body::as_bytes);
        let content = btauth::Content {
            method: request.method(),
            target: uri.path_and_query().map_or("/", |target| target.as_str()),
            body: body.ok_or_else(|| Error::internal("unsigned_stream", "a stream cannot be signed"))?,
        };
        let signer = &*self.signing.signer;
        let ours = btauth::sign(signer, content, Some(&self.receiver), signed_at.nanos()).await?;
        let headers = request.headers_mut();
        for name in btauth::ALL {
            headers.remove(name);
        }
        headers.extend(ours);
        Ok(signed_at)
    }

    /// The error of a reply with status 401: ours where the receiver says what is wrong with the signature.
    pub(super) async fn refused(&self, response: Response, signed_at: Stamp) -> Error {
        let theirs = clock(response.headers());
        let refusal = call::refused(response).await;
        if !CODES.contains(&refusal.code()) {
            return refusal;
        }
        let now = self.now();
        let its = theirs.map_or_else(|| "not known".to_owned(), |theirs| theirs.to_string());
        let message = format!(
            "{} refused a request that we signed: {}; signed at {signed_at}, our clock now {now}, its clock {its}",
            self.receiver,
            refusal.message(),
        );
        let apart = theirs.map_or(0, |theirs| theirs.nanos().abs_diff(now.nanos()));
        let code = refusal.code().to_owned();
        let hint = match apart > WORTH_A_WORD {
            true => Some("set the clocks of both machines by NTP: they are apart".to_owned()),
            false => refusal.hint().map(str::to_owned),
        };
        let error = Error::unavailable(code, message).with_source(refusal);
        match hint {
            Some(hint) => error.with_hint(hint),
            None => error,
        }
    }
}

fn clock(headers: &HeaderMap) -> Option<Stamp> {
    let nanos = headers.get(CLOCK)?.to_str().ok()?.parse().ok()?;
    Some(Stamp::from_nanos(nanos))
}
