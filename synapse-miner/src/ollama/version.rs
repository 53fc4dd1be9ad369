//! Which Ollama answers, and whether it is new enough.

use std::time::Duration;

use http::Method;
use semver::Version;
use serde::Deserialize;
use serde_json::json;
use synapse_core::Error;

use super::transport::{Transport, written};

/// The oldest Ollama that a miner works with: log-probabilities, by which validators check replies, came with it. The
/// field `truncate`, without which a prompt that is too long is cut silently, came before.
pub const MINIMUM: Version = Version::new(0, 12, 11);

/// What a build says that nobody gave a version, such as one by `go install`.
const UNKNOWN: Version = Version::new(0, 0, 0);
const LIMIT: Duration = Duration::from_secs(5);

#[derive(Deserialize)]
struct Said {
    version: String,
}

/// The version of the Ollama at `transport`; `None` of a build that does not know its own, and proved that it is new enough.
///
/// # Errors
/// `ollama_unreachable`, `not_ollama`, `ollama_too_old`.
pub(super) async fn check(transport: &Transport) -> Result<Option<Version>, Error> {
    const PATH: &str = "/api/version";
    let (status, body) = transport
        .exchange(Method::GET, PATH, reqwest::Body::default(), LIMIT)
        .await?;
    let said: Option<Said> = serde_json::from_slice(&body).ok();
    let version = said
        .filter(|_| status.is_success())
        .and_then(|said| Version::parse(said.version.trim_start_matches('v')).ok())
        .ok_or_else(|| transport.not_ollama(PATH))?;
    // A release candidate of the oldest that will do has what it has.
    let release = Version::new(version.major, version.minor, version.patch);
    if release == UNKNOWN {
        return match has_logprobs(transport).await? {
            true => Ok(None),
            false => Err(too_old(transport, "a version that it does not say")),
        };
    }
    match release < MINIMUM {
        true => Err(too_old(transport, &format!("version {version}"))),
        false => Ok(Some(version)),
    }
}

/// Whether it knows the field `top_logprobs`, of which it refuses a value that is too large before it looks for a model.
async fn has_logprobs(transport: &Transport) -> Result<bool, Error> {
    let question = written(&json!({"model": "synapse-probe", "top_logprobs": 99}));
    let (status, body) = transport
        .exchange(Method::POST, "/api/generate", question, LIMIT)
        .await?;
    let named = super::transport::said(&body).is_some_and(|said| said.contains("top_logprobs"));
    Ok(status.as_u16() == 400 && named)
}

fn too_old(transport: &Transport, version: &str) -> Error {
    Error::unsupported(
        "ollama_too_old",
        format!(
            "the Ollama at {} is of {version}, and version {MINIMUM} is the oldest that sends log-probabilities",
            transport.base()
        ),
    )
    .with_hint("update Ollama and start it again")
}
