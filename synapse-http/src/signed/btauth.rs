//! btauth/1, which nodes of ours sign with, and Bittensor's SDK from version 11 on.
//!
//! A few headers say who signed, for whom and when; the signature covers method, target, query and body, too:
//!
//! | header | what it holds |
//! | --- | --- |
//! | `X-Bittensor-Version` | `1` |
//! | `X-Bittensor-Hotkey` | the signer's address |
//! | `X-Bittensor-Receiver` | the address of the node that it is for; nodes of ours always send and demand it |
//! | `X-Bittensor-Nonce` | the time in nanoseconds since 1970, decimal |
//! | `X-Bittensor-Crypto` | `sr25519`, also where it is absent, or `ed25519` |
//! | `X-Bittensor-Signature` | `0x` and hex digits |
//!
//! Signed are eight lines without a line end after the last: `btauth/1`, the scheme, the method, the target as it is sent
//! with its query, the SHA-256 of the body in hex, the nonce, the signer, and the receiver or `-`. A proxy that rewrites
//! paths or bodies breaks it.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use synapse_core::{
    Error, NodeId,
    keys::{Scheme, Signer},
};

use super::{
    Stamp,
    claim::{Claim, Form, Once},
    fields,
    refusal::malformed,
};
use crate::digest::sha256_hex;

const VERSION: HeaderName = HeaderName::from_static("x-bittensor-version");
const HOTKEY: HeaderName = HeaderName::from_static("x-bittensor-hotkey");
const RECEIVER: HeaderName = HeaderName::from_static("x-bittensor-receiver");
const NONCE: HeaderName = HeaderName::from_static("x-bittensor-nonce");
const CRYPTO: HeaderName = HeaderName::from_static("x-bittensor-crypto");
const SIGNATURE: HeaderName = HeaderName::from_static("x-bittensor-signature");
pub(crate) const ALL: [HeaderName; 6] = [VERSION, HOTKEY, RECEIVER, NONCE, CRYPTO, SIGNATURE];

/// How old a request may be.
pub(super) const LONGEST_AGE: Duration = Duration::from_secs(10);
/// What is written where there is no receiver.
pub(super) const NOBODY: &str = "-";

/// What a signature says of a request, besides who and when.
#[derive(Debug, Clone, Copy)]
pub struct Content<'a> {
    /// Its method.
    pub method: &'a Method,
    /// Its target as it is sent, with its query: `/v1/models?limit=3`.
    pub target: &'a str,
    /// Its body as it is sent: compressed, where it is.
    pub body: &'a [u8],
}

/// The headers that prove that `signer` sent this, to `receiver` and nobody else.
///
/// `nonce` is the time in nanoseconds since 1970. Each attempt needs its own: a receiver takes none twice.
///
/// # Errors
/// `unsupported_scheme` where the signer's is neither sr25519 nor ed25519, `bad_address` where an address cannot stand in a
/// header, and what the signer says.
pub async fn sign<S: Signer + ?Sized>(
    signer: &S,
    content: Content<'_>,
    receiver: Option<&NodeId>,
    nonce: u64,
) -> Result<HeaderMap, Error> {
    let (scheme, sender) = (signer.scheme(), signer.address());
    check_scheme(scheme)?;
    let digest = sha256_hex(content.body);
    let to = receiver.map_or(NOBODY, NodeId::as_str);
    let message = payload(
        scheme,
        content.method,
        content.target,
        &digest,
        nonce,
        sender.as_str(),
        to,
    );
    let signature = signer.sign(message.as_bytes()).await?;
    let mut headers = HeaderMap::with_capacity(ALL.len());
    headers.insert(VERSION, HeaderValue::from_static("1"));
    headers.insert(HOTKEY, named(sender)?);
    headers.insert(NONCE, nonce.into());
    if scheme != Scheme::Sr25519 {
        headers.insert(CRYPTO, HeaderValue::from_static(scheme.as_str()));
    }
    if let Some(receiver) = receiver {
        headers.insert(RECEIVER, named(receiver)?);
    }
    let signature = HeaderValue::try_from(signature.to_hex()).expect("hex digits are a header value");
    headers.insert(SIGNATURE, signature);
    Ok(headers)
}

/// Whether keys of `scheme` can sign requests.
pub(crate) fn check_scheme(scheme: Scheme) -> Result<(), Error> {
    match scheme {
        Scheme::Sr25519 | Scheme::Ed25519 => Ok(()),
        other => Err(Error::unsupported(
            "unsupported_scheme",
            format!("requests are not signed with {other}"),
        )
        .with_hint("use an sr25519 or ed25519 key")),
    }
}

pub(super) fn read(headers: &HeaderMap) -> Result<Claim, Error> {
    let version = fields::required(headers, &VERSION)?;
    if version != "1" {
        return Err(malformed(format!("the header {VERSION} is not 1")));
    }
    let scheme = match fields::optional(headers, &CRYPTO)? {
        None | Some("sr25519") => Scheme::Sr25519,
        Some("ed25519") => Scheme::Ed25519,
        Some(_) => {
            return Err(malformed(format!(
                "the header {CRYPTO} is neither sr25519 nor ed25519"
            )));
        }
    };
    let sender = fields::address(fields::required(headers, &HOTKEY)?, scheme, &HOTKEY)?;
    let nonce = fields::decimal(fields::required(headers, &NONCE)?, &NONCE)?;
    let signature = fields::signature(fields::required(headers, &SIGNATURE)?, scheme, &SIGNATURE)?;
    // A receiver that is written `-` signs the same bytes as none at all.
    let receiver = fields::optional(headers, &RECEIVER)?.filter(|receiver| *receiver != NOBODY);
    Ok(Claim {
        sender,
        scheme,
        receiver: receiver.map(Into::into),
        signed_at: Stamp::from_nanos(nonce),
        once: Once::Nonce(nonce),
        signature,
        form: Form::Btauth,
    })
}

pub(super) fn payload(
    scheme: Scheme,
    method: &Method,
    target: &str,
    digest: &str,
    nonce: u64,
    sender: &str,
    receiver: &str,
) -> String {
    let method = method.as_str().to_ascii_uppercase();
    format!("btauth/1\n{scheme}\n{method}\n{target}\n{digest}\n{nonce}\n{sender}\n{receiver}")
}

pub(super) fn named(node: &NodeId) -> Result<HeaderValue, Error> {
    HeaderValue::try_from(node.as_str()).map_err(|error| {
        Error::invalid(
            "bad_address",
            format!("the address {node:?} cannot stand in a header"),
        )
        .with_source(error)
    })
}
