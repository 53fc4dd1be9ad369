//! What a vLLM server serves.

use std::time::Duration;

use serde::{Deserialize, de::DeserializeOwned};
use synapse_core::{Error, ModelInfo, ModuleCapabilities, Task};
use synapse_http::OpenAiModule;

use crate::inference::{endpoint::Found, features::Release};

/// The longest wait for what it serves.
const LIMIT: Duration = Duration::from_secs(5);

#[derive(Deserialize)]
struct Version {
    version: String,
}

#[derive(Deserialize)]
pub(super) struct Models {
    data: Vec<Model>,
}

#[derive(Deserialize)]
struct Model {
    id: String,
    #[serde(default)]
    root: Option<String>,
    #[serde(default)]
    max_model_len: Option<u32>,
}

impl Models {
    pub(super) async fn ask(http: &OpenAiModule) -> Result<Self, Error> {
        read(&http.get("/v1/models", LIMIT).await?)
    }

    /// What tells this server from another one at its address.
    pub(super) fn identity(&self) -> String {
        let models = self.data.iter();
        let models = models.map(|model| format!("{} {:?} {:?}", model.id, model.root, model.max_model_len));
        models.collect::<Vec<_>>().join("\n")
    }
}

pub(super) fn unseen() -> ModuleCapabilities {
    let mut capabilities = ModuleCapabilities::new("vllm")
        .with_task(Task::CHAT)
        .with_task(Task::TEXT_COMPLETION)
        .with_task(Task::EMBEDDINGS)
        .with_streaming();
    capabilities.dialects = vec!["openai".to_owned()];
    capabilities
}

/// One server generates or embeds, and says so nowhere but in refusing the other: it claims all three.
pub(super) async fn discover(http: &OpenAiModule, slots: Option<u32>) -> Result<Found, Error> {
    let version: Version = read(&http.get("/version", LIMIT).await?)?;
    let models = Models::ask(http).await?;
    let mut capabilities = unseen();
    let release = Release::of("vllm", &version.version);
    capabilities.top_logprobs = release.map_or(0, |release| release.top_logprobs);
    capabilities.concurrency = slots;
    let identity = models.identity();
    for model in models.data {
        let mut info = ModelInfo::new(model.id);
        info.context_length = model.max_model_len;
        capabilities = capabilities.with_model(info);
    }
    Ok(Found {
        capabilities,
        version: version.version,
        identity,
        slots,
        tells_slots: false,
        tells_metrics: true,
        vocabulary: None,
    })
}

/// What a vLLM server answered.
pub(super) fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(body).map_err(|error| {
        Error::unavailable("not_vllm", "the server does not answer as vLLM does")
            .with_hint("check that the address is a vLLM server's; of another engine, use its own module")
            .with_source(error)
    })
}
