//! Ollama's routes: inference, and what its clients ask about models.

use std::sync::Arc;

use axum::{
    Extension, Router,
    body::Body,
    extract::{Request, State},
    response::Response,
    routing::{any, get, post},
};
use http::HeaderMap;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use synapse_core::{Error, ErrorKind, ModelInfo, ModuleCapabilities, Task};

use super::{
    about::{claimed, json_reply},
    inference::Ask,
    intake,
    refusal::refusal,
    routes::{self, Served, infer},
};
use crate::api_keys::ModelScope;

/// The Ollama whose API is spoken here: clients compare it with what they need.
const VERSION: &str = "0.32.0";
/// What manages models. It is the operator's, who has the engine's own address.
const MANAGEMENT: [&str; 7] = [
    "/api/pull",
    "/api/push",
    "/api/create",
    "/api/copy",
    "/api/delete",
    "/api/blobs",
    "/api/blobs/{*digest}",
];
/// How long a question about a model may be, in bytes.
const LONGEST_QUESTION: usize = 64 * 1024;

pub(super) fn routes() -> Router<Arc<Served>> {
    let inference = ["/api/chat", "/api/generate", "/api/embed", "/api/embeddings"];
    let router = inference.into_iter().fold(Router::new(), |router, path| {
        router.route(path, infer(Ask::Ollama(path)))
    });
    MANAGEMENT
        .into_iter()
        .fold(router, |router, path| router.route(path, any(managed_elsewhere)))
        .route("/api/tags", get(tags))
        .route("/api/ps", get(running))
        .route("/api/show", post(show))
        .route("/api/version", get(version))
}

async fn managed_elsewhere(request: Request) -> Response {
    refusal(
        &Error::new(
            ErrorKind::Forbidden,
            "management_forbidden",
            format!(
                "{} manages models, which nobody may from here",
                routes::shown(request.uri().path())
            ),
        )
        .with_hint(
            "whoever runs the engine does it at the engine's own address; GET /api/tags lists the models",
        ),
    )
}

async fn version() -> Response {
    json_reply(&json!({"version": VERSION, "synapse": env!("CARGO_PKG_VERSION")}))
}

async fn tags(State(served): State<Arc<Served>>, scope: Option<Extension<ModelScope>>) -> Response {
    models(&served, scope, |_| {})
}

/// Whoever serves a model loads it when it is asked: all of them run, as far as a client can tell.
async fn running(State(served): State<Arc<Served>>, scope: Option<Extension<ModelScope>>) -> Response {
    models(&served, scope, |shown| {
        let length = shown["details"].get("context_length").cloned();
        shown.extend(length.map(|length| ("context_length".to_owned(), length)));
    })
}

fn models(
    served: &Served,
    scope: Option<Extension<ModelScope>>,
    add: impl Fn(&mut Map<String, Value>),
) -> Response {
    match claimed(served, scope) {
        Ok(capabilities) => {
            let models: Vec<Value> = capabilities
                .models
                .iter()
                .map(|model| {
                    let mut shown = listed(model);
                    add(&mut shown);
                    shown.into()
                })
                .collect();
            json_reply(&json!({"models": models}))
        }
        Err(early) => refusal(&early),
    }
}

async fn show(State(served): State<Arc<Served>>, request: Request) -> Response {
    let (mut parts, body) = request.into_parts();
    let scope = parts.extensions.remove().map(Extension);
    match shown(&served, scope, &parts.headers, body).await {
        Ok(response) => response,
        Err(error) => refusal(&error),
    }
}

async fn shown(
    served: &Served,
    scope: Option<Extension<ModelScope>>,
    headers: &HeaderMap,
    body: Body,
) -> Result<Response, Error> {
    #[derive(Deserialize)]
    struct Question {
        #[serde(default)]
        model: Option<String>,
        /// How older clients say `model`.
        #[serde(default)]
        name: Option<String>,
    }
    let capabilities = claimed(served, scope)?;
    let limit = served.options.max_body_bytes.min(LONGEST_QUESTION);
    let body = intake::read(headers, body, limit).await?;
    let question: Question = serde_json::from_slice(&body).map_err(|error| {
        Error::invalid("invalid_json", format!("the body is not valid JSON: {error}"))
            .with_hint("send {\"model\": \"…\"}")
    })?;
    let name = question.model.filter(|name| !name.is_empty()).or(question.name);
    let name = name.filter(|name| !name.is_empty()).ok_or_else(|| {
        Error::invalid("model_missing", "the request names no model")
            .with_param("model")
            .with_hint("send the field model; GET /api/tags lists what is served")
    })?;
    let name = latest(&capabilities, &name).unwrap_or(name);
    let model = capabilities
        .model(&name)
        .ok_or_else(|| Error::model_not_found(&name))?;
    let mut info = Map::new();
    if let Some(length) = model.context_length {
        info.insert("general.context_length".to_owned(), length.into());
    }
    Ok(json_reply(&json!({
        "details": details(model),
        "model_info": info,
        "capabilities": abilities(&capabilities),
    })))
}

/// The model that Ollama's clients mean by a name without a tag, where only its tag `latest` is served.
pub(super) fn latest(capabilities: &ModuleCapabilities, name: &str) -> Option<String> {
    let tagged = format!("{name}:latest");
    let is_meant = !name.contains(':') && capabilities.model(name).is_none();
    (is_meant && capabilities.model(&tagged).is_some()).then_some(tagged)
}

/// A model as Ollama lists it, without what nobody here knows: its size, its quantization, when it was made.
fn listed(model: &ModelInfo) -> Map<String, Value> {
    let mut shown = Map::new();
    shown.insert("name".to_owned(), model.id.as_str().into());
    shown.insert("model".to_owned(), model.id.as_str().into());
    if let Some(digest) = &model.digest {
        let bare = digest.strip_prefix("sha256:").unwrap_or(digest);
        shown.insert("digest".to_owned(), bare.into());
    }
    shown.insert("details".to_owned(), details(model));
    shown
}

fn details(model: &ModelInfo) -> Value {
    match model.context_length {
        Some(length) => json!({"context_length": length}),
        None => json!({}),
    }
}

/// What the module does, in Ollama's words. Which models take tools or images nobody said.
fn abilities(capabilities: &ModuleCapabilities) -> Vec<&'static str> {
    let does = |task: &Task| capabilities.tasks.contains(task);
    let completes = does(&Task::CHAT) || does(&Task::TEXT_COMPLETION);
    let embeds = does(&Task::EMBEDDINGS);
    [(completes, "completion"), (embeds, "embedding")]
        .into_iter()
        .filter_map(|(does, name)| does.then_some(name))
        .collect()
}
