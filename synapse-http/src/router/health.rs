//! Is it alive, and is it ready?

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{extract::State, response::Response};
use http::StatusCode;
use serde_json::json;
use synapse_core::{Health, HealthStatus, InferenceModule};
use tokio::time::{Instant, timeout};

use super::{about::json_reply, routes::Served};

/// A module that takes longer to say how it is, is not well. Whoever asks should wait a little longer than this, or hears
/// nothing: a pool of miners waits 4 s.
const LONGEST_CHECK: Duration = Duration::from_secs(3);

/// For so long a digest holds: anybody may ask for it, and it takes writing all of the capabilities down.
const FRESH: Duration = Duration::from_secs(1);

/// The digest of a module's capabilities, made anew at most once a second.
#[derive(Debug, Default)]
pub(super) struct Digest(Mutex<Option<(Instant, String)>>);

impl Digest {
    fn of(&self, module: &dyn InferenceModule) -> String {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &*last {
            Some((at, digest)) if at.elapsed() < FRESH => digest.clone(),
            _ => {
                let digest = module.get_capabilities().digest();
                *last = Some((Instant::now(), digest.clone()));
                digest
            }
        }
    }
}

/// The process answers; nothing else is asked.
pub(super) async fn live() -> Response {
    json_reply(&json!({"status": "alive"}))
}

/// 200 where requests should be sent here, degraded or not; 503 with the reason where not.
pub(super) async fn ready(State(served): State<Arc<Served>>) -> Response {
    let ours = served.lifecycle.health();
    let health = if ours.is_serving() {
        check(&served).await
    } else {
        ours
    };
    let mut document = json!({
        "status": health.status(),
        "reason": health.reason(),
        "since_seconds": health.since_instant().elapsed().as_secs(),
    });
    if let Some(capacity) = health.capacity() {
        document["capacity"] = json!(capacity);
    }
    if health.is_serving() {
        // So that whoever looks notices when something else is served.
        document["capabilities"] = served.digest.of(&*served.module).into();
    }
    let mut response = json_reply(&document);
    if health.status() == HealthStatus::Unhealthy {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    response
}

async fn check(served: &Served) -> Health {
    match timeout(LONGEST_CHECK, served.module.health_check()).await {
        Ok(Ok(health)) => health,
        Ok(Err(error)) => Health::unhealthy(error.to_string()),
        Err(_) => Health::unhealthy(format!("the check takes longer than {LONGEST_CHECK:?}")),
    }
}
