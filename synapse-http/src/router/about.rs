//! What is served here.

use std::sync::Arc;

use axum::{
    Extension,
    extract::{Path, State, rejection::PathRejection},
    response::Response,
};
use http::{HeaderValue, header};
use serde::Serialize;
use serde_json::{Value, json};
use synapse_core::{Dialect as _, Error, ModelInfo, ModuleCapabilities, NodeId};

use super::{refusal::refusal, routes::Served};
use crate::{api_keys::ModelScope, dialect::Ollama};

pub(super) async fn models(
    State(served): State<Arc<Served>>,
    scope: Option<Extension<ModelScope>>,
) -> Response {
    let capabilities = match claimed(&served, scope) {
        Ok(capabilities) => capabilities,
        Err(early) => return refusal(&early),
    };
    let data: Vec<Value> = capabilities
        .models
        .iter()
        .map(|model| shown(model, &capabilities.name))
        .collect();
    json_reply(&json!({"object": "list", "data": data}))
}

pub(super) async fn model(
    State(served): State<Arc<Served>>,
    scope: Option<Extension<ModelScope>>,
    id: Result<Path<String>, PathRejection>,
) -> Response {
    let capabilities = match claimed(&served, scope) {
        Ok(capabilities) => capabilities,
        Err(early) => return refusal(&early),
    };
    let id = id.map_or_else(|_| String::new(), |Path(id)| id);
    match capabilities.model(&id) {
        Some(model) => json_reply(&shown(model, &capabilities.name)),
        None => refusal(&Error::model_not_found(&id)),
    }
}

pub(super) async fn capabilities(
    State(served): State<Arc<Served>>,
    scope: Option<Extension<ModelScope>>,
) -> Response {
    #[derive(Serialize)]
    struct Signed<'a> {
        #[serde(skip_serializing_if = "Option::is_none")]
        node_id: Option<&'a NodeId>,
        #[serde(flatten)]
        capabilities: ModuleCapabilities,
    }
    match claimed(&served, scope) {
        Ok(capabilities) => json_reply(&Signed {
            node_id: served.options.node_id.as_ref(),
            capabilities,
        }),
        Err(early) => refusal(&early),
    }
}

/// What the module claims, once it is initialised: before that it may not know its own models. Of those whoever asks hears
/// of the ones that he may ask.
pub(super) fn claimed(
    served: &Served,
    scope: Option<Extension<ModelScope>>,
) -> Result<ModuleCapabilities, Error> {
    served.lifecycle.check()?;
    let mut capabilities = served.module.get_capabilities();
    if !served.options.ollama {
        capabilities.dialects.retain(|name| *name != Ollama.name());
    }
    if let Some(Extension(scope)) = scope {
        scope.retain(&mut capabilities.models);
    }
    Ok(capabilities)
}

/// OpenAI's model object, and what we know beyond it. Nobody here knows when a model was made: `created` is 0.
fn shown(model: &ModelInfo, owner: &str) -> Value {
    json!({
        "id": model.id,
        "object": "model",
        "created": 0,
        "owned_by": owner,
        "context_length": model.context_length,
        "digest": model.digest,
    })
}

pub(super) fn json_reply(value: &impl Serialize) -> Response {
    match serde_json::to_vec(value) {
        Ok(body) => {
            let mut response = Response::new(body.into());
            response
                .headers_mut()
                .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            response
        }
        Err(error) => {
            refusal(&Error::internal("unserializable", "an answer could not be written").with_source(error))
        }
    }
}
