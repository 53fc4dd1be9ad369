//! Which path leads where.

use std::sync::Arc;

use axum::{
    Router,
    extract::{Request, State},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use http::Method;
use synapse_core::{Error, ErrorKind, InferenceModule, Task};

use super::{
    about,
    api::Options,
    health::{self, Digest},
    inference::{self, Ask},
    lifecycle::Lifecycle,
    metrics, ollama,
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
    let ollama = match served.options.ollama {
        true => ollama::routes(),
        false => Router::new(),
    };
    ollama
        .route("/v1/chat/completions", infer(Ask::OpenAi(Task::CHAT)))
        .route("/v1/completions", infer(Ask::OpenAi(Task::TEXT_COMPLETION)))
        .route("/v1/embeddings", infer(Ask::OpenAi(Task::EMBEDDINGS)))
        .route("/v1/models", get(about::models))
        .route("/v1/models/{*id}", get(about::model))
        .route("/synapse/v1/capabilities", get(about::capabilities))
        .route("/metrics", get(metrics::metrics))
        .method_not_allowed_fallback(wrong_method)
        .fallback(not_here)
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

pub(super) fn infer(ask: Ask) -> axum::routing::MethodRouter<Arc<Served>> {
    post(|State(served): State<Arc<Served>>, request: Request| inference::infer(served, ask, request))
}

/// Ollama's clients look at `/` whether anybody is there; a route of somebody else's comes first.
async fn not_here(State(served): State<Arc<Served>>, request: Request) -> Response {
    let looks = matches!(*request.method(), Method::GET | Method::HEAD) && request.uri().path() == "/";
    match looks && served.options.ollama {
        true => "Ollama's API is served here\n".into_response(),
        false => unknown_route(request).await,
    }
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

pub(super) fn shown(path: &str) -> String {
    path.chars().take(128).collect()
}
