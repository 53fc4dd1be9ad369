//! Epistula v2, for subnets whose clients speak it: Targon's, Nineteen's.
//!
//! **It leaves method and path unsigned**: whoever sees a request may send it to another path of the same node, once. That
//! is why it is [off](super::Verifier::accept_epistula) unless asked for. Signed is
//! `sha256hex(body).uuid.timestamp.receiver`, with sr25519.
//!
//! | header | what it holds |
//! | --- | --- |
//! | `Epistula-Version` | `2` |
//! | `Epistula-Timestamp` | milliseconds since 1970 |
//! | `Epistula-Uuid` | a UUID of the request's own |
//! | `Epistula-Signed-By`, `-Signed-For` | the signer's and the receiver's address |
//! | `Epistula-Request-Signature` | `0x` and hex digits |
//! | `Epistula-Secret-Signature-0`, `-1`, `-2` | tokens for the ten seconds before, now, and after |
//!
//! # Where it is stricter than the copies that are public
//! A request is stale after 8 s, as there; one from more than 2 s in the future is, too, and a UUID counts once. A request
//! signature must be there. A secret signature need not be, since it proves nothing of the request; one that is there
//! must be the sender's. The copies disagree on its text, so any of theirs will do, the same for all: the interval as
//! `ceil(timestamp / 1e4)` or as the float `ceil(timestamp / 1e4) * 1e4`, with the receiver's address or the sender's.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use synapse_core::{
    Error, ErrorKind, NodeId,
    keys::{Scheme, Signature, Signer, verify},
};

use super::{
    Stamp,
    btauth::named,
    claim::{Claim, Form, Once},
    fields,
    refusal::malformed,
};
use crate::digest::sha256_hex;

pub(super) const VERSION: HeaderName = HeaderName::from_static("epistula-version");
const TIMESTAMP: HeaderName = HeaderName::from_static("epistula-timestamp");
const UUID: HeaderName = HeaderName::from_static("epistula-uuid");
const SIGNED_BY: HeaderName = HeaderName::from_static("epistula-signed-by");
const SIGNED_FOR: HeaderName = HeaderName::from_static("epistula-signed-for");
const SIGNATURE: HeaderName = HeaderName::from_static("epistula-request-signature");
const SECRETS: [HeaderName; 3] = [
    HeaderName::from_static("epistula-secret-signature-0"),
    HeaderName::from_static("epistula-secret-signature-1"),
    HeaderName::from_static("epistula-secret-signature-2"),
];
/// How old a request may be.
pub(super) const LONGEST_AGE: Duration = Duration::from_secs(8);
const SCHEME: Scheme = Scheme::Sr25519;

/// The headers that prove that `signer` sent this body, to `receiver` and nobody else; secret signatures included.
///
/// `timestamp` is the time in milliseconds since 1970, `uuid` one of the request's own in the usual form.
///
/// # Errors
/// `unsupported_scheme` where the signer's is not sr25519, `bad_address` and `bad_uuid` where one cannot stand in a header,
/// and what the signer says.
pub async fn sign<S: Signer + ?Sized>(
    signer: &S,
    body: &[u8],
    receiver: &NodeId,
    timestamp: u64,
    uuid: &str,
) -> Result<HeaderMap, Error> {
    if signer.scheme() != SCHEME {
        return Err(Error::unsupported(
            "unsupported_scheme",
            format!("Epistula requests are not signed with {}", signer.scheme()),
        )
        .with_hint("use an sr25519 key"));
    }
    if number_of(uuid).is_none() {
        return Err(Error::invalid("bad_uuid", format!("{uuid:?} is no UUID")));
    }
    let text = HeaderValue::try_from(uuid).expect("hex digits and dashes are a header value");
    let digest = sha256_hex(body);
    let mut headers = HeaderMap::with_capacity(9);
    headers.insert(VERSION, HeaderValue::from_static("2"));
    headers.insert(TIMESTAMP, timestamp.into());
    headers.insert(UUID, text);
    headers.insert(SIGNED_BY, named(signer.address())?);
    headers.insert(SIGNED_FOR, named(receiver)?);
    let interval = timestamp.div_ceil(INTERVAL);
    let mut messages = vec![(SIGNATURE, message(&digest, uuid, timestamp, receiver.as_str()))];
    for (name, interval) in SECRETS.into_iter().zip(interval.saturating_sub(1)..) {
        messages.push((name, format!("{interval}.{receiver}")));
    }
    for (name, message) in messages {
        let signature = signer.sign(message.as_bytes()).await?.to_hex();
        let signature = HeaderValue::try_from(signature).expect("hex digits are a header value");
        headers.insert(name, signature);
    }
    Ok(headers)
}

pub(super) fn read(headers: &HeaderMap) -> Result<Claim, Error> {
    if fields::required(headers, &VERSION)? != "2" {
        return Err(malformed(format!("the header {VERSION} is not 2")));
    }
    let timestamp = fields::decimal(fields::required(headers, &TIMESTAMP)?, &TIMESTAMP)?;
    let nanos = timestamp
        .checked_mul(1_000_000)
        .ok_or_else(|| malformed(format!("the header {TIMESTAMP} is not in milliseconds")))?;
    let uuid = fields::required(headers, &UUID)?;
    let number = number_of(uuid).ok_or_else(|| malformed(format!("the header {UUID} is no UUID")))?;
    let sender = fields::address(fields::required(headers, &SIGNED_BY)?, SCHEME, &SIGNED_BY)?;
    let receiver = fields::optional(headers, &SIGNED_FOR)?;
    let signature = fields::signature(fields::required(headers, &SIGNATURE)?, SCHEME, &SIGNATURE)?;
    let mut secrets = Vec::new();
    for (name, offset) in SECRETS.iter().zip(0..) {
        if let Some(text) = fields::optional(headers, name)? {
            secrets.push((offset, fields::signature(text, SCHEME, name)?));
        }
    }
    Ok(Claim {
        sender,
        scheme: SCHEME,
        receiver: receiver.map(Into::into),
        signed_at: Stamp::from_nanos(nanos),
        once: Once::Uuid(number),
        signature,
        form: Form::Epistula {
            uuid: uuid.into(),
            timestamp,
            secrets: Secrets(secrets),
        },
    })
}

pub(super) fn message(digest: &str, uuid: &str, timestamp: u64, receiver: &str) -> String {
    format!("{digest}.{uuid}.{timestamp}.{receiver}")
}

/// The secret signatures that are there, each with its number.
#[derive(Debug)]
pub(super) struct Secrets(Vec<(u64, Signature)>);

/// In milliseconds.
const INTERVAL: u64 = 10_000;

impl Secrets {
    pub(super) fn check(&self, sender: &NodeId, receiver: &str, timestamp: u64) -> Result<(), Error> {
        let interval = timestamp.div_ceil(INTERVAL);
        let mut usual = None;
        for (offset, signature) in &self.0 {
            let from = |first: u64| first.saturating_add(*offset).saturating_sub(1);
            let (short, long) = (from(interval), from(interval.saturating_mul(INTERVAL)));
            let spellings = [
                format!("{short}.{receiver}"),
                format!("{long}.0.{receiver}"),
                format!("{short}.{sender}"),
                format!("{long}.0.{sender}"),
            ];
            // A client spells all three the same way, and each spelling that is tried costs a verification.
            let fits = |at: &usize| verify(SCHEME, sender, spellings[*at].as_bytes(), signature).is_ok();
            usual = match usual {
                Some(usual) => Some(usual).filter(fits),
                None => (0..spellings.len()).find(fits),
            };
            if usual.is_none() {
                return Err(Error::new(
                    ErrorKind::Unauthenticated,
                    "bad_signature",
                    format!("the secret signature {offset} is not of {sender}, or of another interval"),
                ));
            }
        }
        Ok(())
    }
}

/// A UUID in its usual form, as a number.
fn number_of(uuid: &str) -> Option<u128> {
    let bytes = uuid.as_bytes();
    let dashes = |at: usize| matches!(at, 8 | 13 | 18 | 23);
    let shaped = bytes.len() == 36
        && bytes
            .iter()
            .enumerate()
            .all(|(at, byte)| (*byte == b'-') == dashes(at));
    let digits: String = uuid.split('-').collect();
    let plain = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    (shaped && plain)
        .then(|| u128::from_str_radix(&digits, 16).ok())
        .flatten()
}
