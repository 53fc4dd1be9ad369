//! What a validator signs, and whether it did.

use bytes::Bytes;
use http::HeaderValue;
use serde::de::DeserializeOwned;
use synapse_core::{
    Error, ErrorKind, NodeId, ScoreReport, SubnetSummary,
    keys::{Scheme, Signature, Signer, verify},
};

use crate::digest::sha256_hex;

/// What a validator said, and its signature.
#[derive(Debug, Clone)]
pub struct Attested<T> {
    value: T,
    body: Bytes,
    signature: String,
}

impl<T> Attested<T> {
    /// What it said.
    pub fn value(&self) -> &T {
        &self.value
    }

    /// The same, byte for byte as it was signed.
    #[must_use]
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// The header that proves it: scheme, address and signature.
    #[must_use]
    pub fn signature(&self) -> &str {
        &self.signature
    }
}

/// Reads a report as it was sent, and checks that the validator that it names signed it, for the miner that it names.
///
/// # Errors
/// `invalid_report` where it is none; `bad_signature` where the validator's signature is missing, another's or of something
/// else.
pub fn check_report(body: Bytes, signature: &str) -> Result<Attested<ScoreReport>, Error> {
    check(body, signature, "synapse-score/1", |report: &ScoreReport| {
        (&report.validator, report.miner.as_str())
    })
}

/// The same of a summary.
///
/// # Errors
/// As [`check_report`].
pub fn check_summary(body: Bytes, signature: &str) -> Result<Attested<SubnetSummary>, Error> {
    check(body, signature, "synapse-summary/1", |summary: &SubnetSummary| {
        (&summary.validator, NOBODY)
    })
}

/// What is written where there is no miner.
const NOBODY: &str = "-";

pub(super) async fn sign_report(
    signer: &dyn Signer,
    miner: &NodeId,
    body: &[u8],
) -> Result<HeaderValue, Error> {
    sign(signer, "synapse-score/1", miner.as_str(), body).await
}

pub(super) async fn sign_summary(signer: &dyn Signer, body: &[u8]) -> Result<HeaderValue, Error> {
    sign(signer, "synapse-summary/1", NOBODY, body).await
}

async fn sign(signer: &dyn Signer, domain: &str, about: &str, body: &[u8]) -> Result<HeaderValue, Error> {
    let (scheme, validator) = (signer.scheme(), signer.address());
    let message = message(domain, scheme, validator, about, body);
    let signature = signer.sign(message.as_bytes()).await?.to_hex();
    HeaderValue::try_from(format!("{scheme} {validator} {signature}")).map_err(|error| {
        Error::internal("bad_address", "the signer's address cannot stand in a header").with_source(error)
    })
}

fn message(domain: &str, scheme: Scheme, validator: &NodeId, about: &str, body: &[u8]) -> String {
    let digest = sha256_hex(body);
    format!("{domain}\n{scheme}\n{validator}\n{about}\n{digest}")
}

/// `parties` are the validator and whom it is about.
fn check<T: DeserializeOwned>(
    body: Bytes,
    signature: &str,
    domain: &str,
    parties: impl Fn(&T) -> (&NodeId, &str),
) -> Result<Attested<T>, Error> {
    let value: T = serde_json::from_slice(&body).map_err(|error| {
        Error::broken(
            "invalid_report",
            "what the validator says of scores cannot be read",
        )
        .with_hint("check that it runs a version that this one understands")
        .with_source(error)
    })?;
    let (validator, about) = parties(&value);
    let (scheme, signer, made) =
        words(signature).ok_or_else(|| forged(validator, "comes without a signature that can be read"))?;
    if signer != *validator {
        return Err(forged(validator, &format!("is signed by {signer}")));
    }
    let message = message(domain, scheme, validator, about, &body);
    verify(scheme, validator, message.as_bytes(), &made)
        .map_err(|error| forged(validator, "was not signed by its key as it came").with_source(error))?;
    Ok(Attested {
        value,
        body,
        signature: signature.to_owned(),
    })
}

fn words(said: &str) -> Option<(Scheme, NodeId, Signature)> {
    let mut words = said.split(' ');
    let (Some(scheme), Some(node), Some(signature), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return None;
    };
    Some((
        scheme.parse().ok()?,
        NodeId::from(node),
        Signature::from_hex(signature).ok()?,
    ))
}

fn forged(validator: &NodeId, why: &str) -> Error {
    let validator: String = validator.as_str().chars().take(64).collect();
    Error::new(
        ErrorKind::Broken,
        "bad_signature",
        format!("what {validator} is said to say of scores {why}"),
    )
    .with_hint("believe none of it: somebody on the way changed it, or it is another's")
}
