//! Which path leads where.

use std::sync::Arc;

use axum::{
    Router,
    extract::{Request, State},
    response::Response,
    routing::{get, post},
};
use synapse_core::{Error, ErrorKind, InferenceModule, Task};

use super::{
    about,
    api::Options,
    health::{self, Digest},
    inference,
    lifecycle::Lifecycle,
    metrics,
    refusal::refusal,
};

/// What every handler needs.
pub(super) struct Served {
    pub(super) module: Arc<dyn InferenceModule>,
    pub(super) lifecycle: Lifecycle,
    pub(super) options: Options,
    /// The digest of the module's capabilities, for those who look.
    pub(super) digest: Digest,
}

impl Served {
    pub(super) fn new(module: Arc<dyn InferenceModule>, lifecycle: Lifecycle, options: Options) -> Self {
        Self {
            module,
            lifecycle,
            options,
            digest: Digest::default(),
        }
    }
}

/// What layers go around.
pub(super) fn api(served: Arc<Served>) -> Router {
    Router::new()
        .route("/v1/chat/completions", infer(Task::CHAT))
        .route("/v1/completions", infer(Task::TEXT_COMPLETION))
        .route("/v1/embeddings", infer(Task::EMBEDDINGS))
        .route("/v1/models", get(about::models))
        .route("/v1/models/{*id}", get(about::model))
        .route("/synapse/v1/capabilities", get(about::capabilities))
        .route("/metrics", get(metrics::metrics))
        .method_not_allowed_fallback(wrong_method)
        .fallback(unknown_route)
        .with_state(served)
}

/// What is the operator's, apart from what others reach.
pub(super) fn operators(served: Arc<Served>) -> Router {
    Router::new()
        .route("/metrics", get(metrics::metrics))
        .method_not_allowed_fallback(wrong_method)
        .fallback(unknown_route)
        .with_state(served)
}

/// What layers do not go around.
pub(super) fn probes(served: Arc<Served>) -> Router {
    Router::new()
        .route("/health/live", get(health::live))
        .route("/health/ready", get(health::ready))
        .method_not_allowed_fallback(wrong_method)
        .with_state(served)
}

fn infer(task: Task) -> axum::routing::MethodRouter<Arc<Served>> {
    post(|State(served): State<Arc<Served>>, request: Request| inference::infer(served, task, request))
}

pub(super) async fn unknown_route(request: Request) -> Response {
    refusal(
        &Error::new(
            ErrorKind::NotFound,
            "unknown_route",
            format!("there is no {} here", shown(request.uri().path())),
        )
        .with_hint("POST /v1/chat/completions, GET /v1/models and GET /health/ready are"),
    )
}

pub(crate) async fn wrong_method(request: Request) -> Response {
    refusal(&Error::invalid(
        "method_not_allowed",
        format!(
            "{} does not take {}",
            shown(request.uri().path()),
            request.method()
        ),
    ))
}

fn shown(path: &str) -> String {
    path.chars().take(128).collect()
}
