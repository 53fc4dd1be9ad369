//! Why no key was taken. None of these repeats it.

use std::{io, path::Path};

use synapse_core::{Error, ErrorKind, KeyId, Retry};
use tokio::time::Duration;

/// When to come back where the operator has to mend something first.
const MENDED: Duration = Duration::from_secs(5);

const HOW: &str =
    "send the header authorization: Bearer sk-syn-…, with a key that the gateway's operator made for you";

pub(super) fn missing() -> Error {
    unauthenticated(
        "missing_api_key",
        "the request has no API key, and this gateway asks for one",
    )
    .with_hint(HOW)
}

pub(super) fn invalid() -> Error {
    unauthenticated("invalid_api_key", "the API key is not one of this gateway's").with_hint(HOW)
}

pub(super) fn expired(id: &KeyId) -> Error {
    unauthenticated("expired_api_key", format!("the API key {id} has expired"))
        .with_hint("ask the gateway's operator for a new one")
}

pub(super) fn revoked() -> Error {
    unauthenticated("revoked_api_key", "the API key was revoked")
        .with_hint("ask the gateway's operator for a new one")
}

fn unauthenticated(code: &'static str, message: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(ErrorKind::Unauthenticated, code, message)
}

pub(super) fn unknown(id: &KeyId) -> Error {
    let shown: String = id.as_str().chars().take(80).collect();
    Error::new(
        ErrorKind::NotFound,
        "unknown_api_key",
        format!("there is no API key with the id {shown:?} here"),
    )
    .with_hint("an id is key-… as listed; it is not the key itself, sk-syn-…")
}

pub(super) fn too_many(directory: &Path) -> Error {
    Error::new(
        ErrorKind::Forbidden,
        "too_many_api_keys",
        format!(
            "the API keys in {} have no room for one more",
            directory.display()
        ),
    )
    .with_hint("begin another directory")
}

pub(super) fn unreadable(path: &Path, error: &io::Error) -> Error {
    Error::unavailable(
        "api_keys_unreadable",
        format!("the API keys in {} cannot be read: {error}", path.display()),
    )
    .with_retry(Retry::After(MENDED))
    .with_hint("whoever runs the gateway must be able to read them, and nobody else to write there")
}

pub(super) fn malformed(path: &Path, why: impl std::fmt::Display) -> Error {
    Error::unavailable(
        "api_keys_malformed",
        format!("the API keys in {} cannot be read: {why}", path.display()),
    )
    .with_retry(Retry::After(MENDED))
    .with_hint("put a copy of before in its place: what was revoked since stays revoked")
}

/// What callers hear of it: where the file is, and what is wrong with it, is the operator's.
pub(super) fn closed(error: &Error) -> Error {
    Error::unavailable(
        error.code().to_owned(),
        "this gateway cannot read its API keys, and lets nobody in until it can",
    )
    .with_retry(Retry::After(MENDED))
}
