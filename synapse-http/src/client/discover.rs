//! What an endpoint serves, and how it is.

use std::time::Duration;

use http::StatusCode;
use serde::Deserialize;
use synapse_core::{Capacity, Error, ErrorKind, Health, HealthStatus, ModelInfo, ModuleCapabilities, Task};
use tokio::{sync::Mutex, time::Instant};

use super::{transport::Transport, upstream::Upstream};
use crate::{dialect::openai, status};

const CAPABILITIES: &str = "/synapse/v1/capabilities";
const MODELS: &str = "/v1/models";
const READY: &str = "/health/ready";
/// The longest wait for what an endpoint serves.
const DISCOVERY: Duration = Duration::from_secs(5);
/// The longest wait for how it is.
const HEALTH: Duration = Duration::from_secs(5);
/// How long an answer to that holds, so that many who ask make one request.
const FRESH: Duration = Duration::from_secs(1);

/// What an endpoint turned out to be.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) capabilities: ModuleCapabilities,
    /// What tells them from others, as the endpoint sends them.
    digest: String,
    /// Where it says how it is.
    health: &'static str,
}

impl Found {
    /// Whether the endpoint takes requests in this format as they are.
    pub(super) fn speaks(&self, dialect: &str) -> bool {
        self.capabilities.dialects.iter().any(|name| name == dialect)
    }
}

#[derive(Deserialize)]
struct Models {
    data: Vec<Model>,
}

#[derive(Deserialize)]
struct Model {
    id: String,
}

#[derive(Deserialize)]
struct Readiness {
    status: HealthStatus,
    #[serde(default)]
    reason: Option<String>,
    /// The digest of its capabilities.
    #[serde(default)]
    capabilities: Option<String>,
    #[serde(default)]
    capacity: Option<Capacity>,
}

/// What a module claims before it looked.
pub(super) fn nothing_yet() -> ModuleCapabilities {
    let mut capabilities = ModuleCapabilities::new("openai")
        .with_task(Task::CHAT)
        .with_task(Task::TEXT_COMPLETION)
        .with_task(Task::EMBEDDINGS)
        .with_streaming();
    capabilities.dialects = vec!["openai".to_owned()];
    capabilities
}

/// Asks a server of ours what it can do, and any other one which models it has.
pub(super) async fn discover(transport: &Transport) -> Result<Found, Error> {
    let (code, body) = transport.get(CAPABILITIES, DISCOVERY).await?;
    if code.is_success()
        && let Ok(mut capabilities) = serde_json::from_slice::<ModuleCapabilities>(&body)
    {
        let digest = capabilities.digest();
        // Whatever it forwards itself, over this hop it speaks OpenAI's; of the others, what its module takes as it comes.
        if !capabilities.dialects.iter().any(|name| name == "openai") {
            capabilities.dialects.insert(0, "openai".to_owned());
        }
        return Ok(Found {
            capabilities,
            digest,
            health: READY,
        });
    }
    let (code, body) = transport.get(MODELS, DISCOVERY).await?;
    if !code.is_success() {
        let upstream = Upstream::new(code, None);
        return Err(openai::read_error(&body, &upstream)
            .unwrap_or_else(|| upstream.into_error(status::kind_of_status(code), None, None)));
    }
    let models: Models = serde_json::from_slice(&body).map_err(|error| {
        Error::unavailable(
            "not_openai",
            format!("{} does not list its models as OpenAI does", transport.base()),
        )
        .with_hint("check that the address is an OpenAI-compatible server's")
        .with_source(error)
    })?;
    let capabilities = models.into_capabilities();
    Ok(Found {
        digest: capabilities.digest(),
        capabilities,
        health: MODELS,
    })
}

impl Models {
    fn into_capabilities(self) -> ModuleCapabilities {
        let models = self.data.into_iter().map(|model| ModelInfo::new(model.id));
        models.fold(nothing_yet(), ModuleCapabilities::with_model)
    }
}

/// How an endpoint said it was, or that it did not, and when.
#[derive(Debug)]
pub(super) struct Known {
    health: Result<Health, Error>,
    at: Instant,
}

impl Known {
    pub(super) fn now(health: Health) -> Self {
        Self {
            health: Ok(health),
            at: Instant::now(),
        }
    }
}

/// How the endpoint is: what it last said, where that is fresh, else what it says now; and whether it serves something
/// else by now than was found.
///
/// # Errors
/// Where it says nothing: then nobody knows. Whoever asks next after it ran out of time is told so at once.
pub(super) async fn health(
    transport: &Transport,
    found: &Found,
    last: &Mutex<Option<Known>>,
) -> Result<(Health, bool), Error> {
    let mut last = last.lock().await;
    if let Some(known) = &*last
        && known.at.elapsed() < FRESH
    {
        return known.health.clone().map(|health| (health, false));
    }
    let (mut health, digest) = match transport.get(found.health, HEALTH).await {
        Ok((code, body)) if found.health == READY => ready(code, &body),
        Ok((code, body)) => models(code, &body),
        Err(error) => {
            *last = (error.kind() == ErrorKind::Timeout).then(|| Known {
                health: Err(error.clone()),
                at: Instant::now(),
            });
            return Err(error);
        }
    };
    if let Some(Known {
        health: Ok(before), ..
    }) = &*last
        && before.status() == health.status()
    {
        health = health.since(before.since_instant());
    }
    *last = Some(Known::now(health.clone()));
    let changed = digest.is_some_and(|digest| digest != found.digest);
    Ok((health, changed))
}

/// Our own servers say it in words; the status counts where there are none.
fn ready(code: StatusCode, body: &[u8]) -> (Health, Option<String>) {
    let said: Option<Readiness> = serde_json::from_slice(body).ok();
    let reason = said
        .as_ref()
        .and_then(|said| said.reason.clone())
        .unwrap_or_else(|| format!("the endpoint says {code}"));
    let health = match said.as_ref().map(|said| said.status) {
        Some(HealthStatus::Ready) | None if code.is_success() => Health::ready(),
        Some(HealthStatus::Degraded) if code.is_success() => Health::degraded(reason),
        _ => Health::unhealthy(reason),
    };
    let health = match said.as_ref().and_then(|said| said.capacity) {
        Some(capacity) => health.with_capacity(capacity),
        None => health,
    };
    (health, said.and_then(|said| said.capabilities))
}

/// Other servers are ready when they list a model.
fn models(code: StatusCode, body: &[u8]) -> (Health, Option<String>) {
    match serde_json::from_slice::<Models>(body) {
        Ok(models) if code.is_success() && models.data.is_empty() => {
            (Health::unhealthy("the endpoint lists no model"), None)
        }
        Ok(models) if code.is_success() => (Health::ready(), Some(models.into_capabilities().digest())),
        _ => {
            let why = format!("the endpoint answered {code} when it was asked for its models");
            (Health::unhealthy(why), None)
        }
    }
}
