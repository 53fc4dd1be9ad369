//! What a llama-server serves.

use std::{path::PathBuf, time::Duration};

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::json;
use synapse_core::{Error, ModelInfo, ModuleCapabilities, Task};
use synapse_http::{OpenAiModule, client::Upstream};
use tokio::task::spawn_blocking;

use crate::inference::{
    endpoint::Found,
    features::{Feature, Release, Support},
    weights,
};

/// The longest wait for what it serves.
const LIMIT: Duration = Duration::from_secs(5);
/// What `/props` says.
#[derive(Debug, Deserialize)]
pub(super) struct Props {
    default_generation_settings: Settings,
    total_slots: u32,
    #[serde(default)]
    model_alias: String,
    #[serde(default)]
    model_path: String,
    #[serde(default)]
    endpoint_slots: Option<bool>,
    #[serde(default)]
    endpoint_metrics: Option<bool>,
    #[serde(default)]
    build_info: String,
}

#[derive(Debug, Deserialize)]
struct Settings {
    n_ctx: u32,
}

#[derive(Deserialize)]
struct Models {
    data: Vec<Model>,
}

#[derive(Deserialize)]
struct Model {
    id: String,
    #[serde(default)]
    aliases: Vec<String>,
    #[serde(default)]
    meta: Option<Meta>,
}

#[derive(Deserialize)]
struct Meta {
    #[serde(default)]
    n_vocab: Option<u32>,
}

impl Props {
    pub(super) async fn ask(http: &OpenAiModule) -> Result<Self, Error> {
        read(&http.get("/props", LIMIT).await?)
    }

    /// What tells this server from another one at its address.
    pub(super) fn identity(&self) -> String {
        format!(
            "{} {} {} {} {}",
            self.build_info,
            self.model_path,
            self.model_alias,
            self.total_slots,
            self.default_generation_settings.n_ctx
        )
    }
}

/// What it can do whatever its model.
pub(super) fn unseen() -> ModuleCapabilities {
    let mut capabilities = ModuleCapabilities::new("llama-server").with_streaming();
    capabilities.dialects = vec!["openai".to_owned()];
    capabilities
}

pub(super) async fn discover(http: &OpenAiModule, local: bool) -> Result<Found, Error> {
    // Served while the model is loaded too, in some releases, and of nothing then.
    http.get("/health", LIMIT).await?;
    let props = Props::ask(http).await?;
    let models: Models = read(&http.get("/v1/models", LIMIT).await?)?;
    let digest = match local {
        true => digest(&props.model_path).await,
        false => None,
    };
    let mut capabilities = unseen();
    if answers(http, "/v1/embeddings").await? {
        capabilities = capabilities.with_task(Task::EMBEDDINGS);
    }
    if answers(http, "/v1/completions").await? {
        capabilities = capabilities
            .with_task(Task::CHAT)
            .with_task(Task::TEXT_COMPLETION);
        let release = Release::of("llama-server", &props.build_info);
        capabilities.top_logprobs = release.map_or(0, |release| release.top_logprobs);
        capabilities.token_ids =
            release.is_some_and(|release| release.support(Feature::TokenIds) != Support::No);
    }
    capabilities.concurrency = Some(props.total_slots);
    let mut vocabulary = None;
    for model in models.data {
        vocabulary = vocabulary.or(model.meta.and_then(|meta| meta.n_vocab));
        let mut names = vec![model.id];
        names.extend(model.aliases);
        for name in names.into_iter().filter(|name| !name.is_empty()) {
            if capabilities.model(&name).is_some() {
                continue;
            }
            let mut info = ModelInfo::new(name).with_context_length(props.default_generation_settings.n_ctx);
            info.digest.clone_from(&digest);
            capabilities = capabilities.with_model(info);
        }
    }
    Ok(Found {
        identity: props.identity(),
        slots: Some(props.total_slots),
        // Releases that do not say have the first unless they were told otherwise, and the second only if told so.
        tells_slots: props.endpoint_slots.unwrap_or(true),
        tells_metrics: props.endpoint_metrics.unwrap_or(true),
        version: props.build_info,
        capabilities,
        vocabulary,
    })
}

/// Whether it does this at all: a request for nothing is malformed where it does, and not implemented where it does not.
async fn answers(http: &OpenAiModule, path: &str) -> Result<bool, Error> {
    match http.post(path, &json!({}), LIMIT).await {
        Ok(_) => Ok(true),
        Err(error) => match Upstream::of(&error).and_then(Upstream::status) {
            Some(status) if status.as_u16() == 400 => Ok(true),
            Some(status) if matches!(status.as_u16(), 404 | 501) => Ok(false),
            _ => Err(error),
        },
    }
}

/// `None` where the file is not to be read here.
async fn digest(path: &str) -> Option<String> {
    let path = PathBuf::from(path);
    let shown = path.display().to_string();
    let digest = spawn_blocking(move || weights::digest_of(&path)).await.ok()?;
    digest
        .inspect_err(
            |error| tracing::warn!(path = shown, %error, "the model's file cannot be read for its digest"),
        )
        .ok()
}

/// What a llama-server answered.
pub(super) fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(body).map_err(|error| {
        Error::unavailable(
            "not_llama_server",
            "the server does not answer as llama-server does",
        )
        .with_hint("check that the address is a llama-server's; of another engine, use its own module")
        .with_source(error)
    })
}
