//! Is it alive, and is it ready?

use std::{sync::Arc, time::Duration};

use axum::{extract::State, response::Response};
use http::StatusCode;
use serde_json::json;
use synapse_core::{Health, HealthStatus};
use tokio::time::timeout;

use super::{about::json_reply, routes::Served};

/// A module that takes longer to say how it is, is not well. Whoever asks should wait a little longer than this, or hears
/// nothing: a pool of miners waits 4 s.
const LONGEST_CHECK: Duration = Duration::from_secs(3);

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
    if health.is_serving() {
        // So that whoever looks notices when something else is served.
        document["capabilities"] = served.module.get_capabilities().digest().into();
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
