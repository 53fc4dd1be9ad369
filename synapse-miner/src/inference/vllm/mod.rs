//! vLLM's server as a module.

mod discover;
mod extras;
mod look;

use std::{fmt, sync::Arc};

use synapse_core::{
    Error, ErrorKind, Health, InferenceModule, Input, MetricsData, ModuleCapabilities, Output, async_trait,
};
use synapse_http::{OpenAiModule, client::Builder};

use super::{
    endpoint::{Endpoint, Engine, Found, Seen, forward_to_endpoint},
    screen::{Reserved, Why},
};

/// Its own fields that are not every caller's.
pub(super) const RESERVED: &[Reserved] = &[
    Reserved {
        name: "priority",
        why: Why::Never("lets a request go before other callers' ones", "leave it out"),
    },
    Reserved {
        name: "request_id",
        why: Why::Never(
            "may be the name of another caller's request",
            "leave it out: every request gets one",
        ),
    },
    Reserved {
        name: "kv_transfer_params",
        why: Why::Never("names a machine that a cache is fetched from", "leave it out"),
    },
];

/// A vLLM server as a module: OpenAI's API, and what this server has beyond it.
///
/// What it serves is asked of `/v1/models` (with the context of each model) and `/version`; how it is, of `/health` and
/// `/metrics`: requests that run and that wait, and how full its cache is. How many requests it runs at once is its
/// `--max-num-seqs`, which it does not tell: [`slots`](Self::slots) does.
///
/// Fields of requests that are vLLM's own travel as they are, but for those that reach past the request (`priority`,
/// `request_id`, `kv_transfer_params`: `field_unsupported`), and images or sounds at an address (`remote_media`):
/// `return_token_ids` puts `token_ids` into each choice,
/// `prompt_logprobs` the prompt's log-probabilities beside them. It was written from vLLM's documentation and sources and is
/// tested against a fake that answers in the shapes recorded there; nobody ran it against a vLLM.
///
/// ```no_run
/// use synapse_http::OpenAiModule;
/// use synapse_miner::inference::VllmModule;
///
/// # #[allow(dead_code)]
/// # fn make() -> Result<(), synapse_core::Error> {
/// let module = VllmModule::new(OpenAiModule::builder("http://127.0.0.1:8000").api_key("…"))?.slots(256);
/// # drop(module);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct VllmModule(Arc<Endpoint<Vllm>>);

#[derive(Debug)]
pub(super) struct Vllm {
    slots: Option<u32>,
}

impl VllmModule {
    /// The server at `url`, after a look at what it serves.
    ///
    /// # Errors
    /// As [`OpenAiModule::connect`] where it cannot be reached or is another server.
    pub async fn connect(url: &str) -> Result<Self, Error> {
        let module = Self::new(OpenAiModule::builder(url))?;
        module.initialize().await?;
        Ok(module)
    }

    /// A server as these settings reach it. The network is not touched before
    /// [`initialize`](InferenceModule::initialize) or the first health check.
    ///
    /// # Errors
    /// As [`Builder::build`].
    pub fn new(settings: Builder) -> Result<Self, Error> {
        let http = settings.build()?;
        Ok(Self(Arc::new(Endpoint::new(Vllm { slots: None }, http))))
    }

    /// The same, knowing how many requests it runs at once: what it was started with as `--max-num-seqs`. Nothing is known
    /// yet of what it serves.
    #[must_use]
    pub fn slots(self, count: u32) -> Self {
        let engine = Vllm { slots: Some(count) };
        Self(Arc::new(Endpoint::new(engine, self.0.http.clone())))
    }

    /// The server's release, as it says; `None` before it was asked.
    #[must_use]
    pub fn version(&self) -> Option<String> {
        Some(self.0.found()?.version.clone())
    }
}

#[async_trait]
impl Engine for Vllm {
    const NAME: &'static str = "vllm";
    const RESERVED: &'static [Reserved] = RESERVED;

    fn unseen(&self) -> ModuleCapabilities {
        discover::unseen()
    }

    async fn discover(&self, http: &OpenAiModule) -> Result<Found, Error> {
        discover::discover(http, self.slots).await
    }

    async fn look(&self, http: &OpenAiModule, found: &Found) -> Result<Seen, Error> {
        look::look(http, found).await
    }

    fn explain(&self, error: Error) -> Error {
        let too_long =
            error.kind() == ErrorKind::Invalid && error.message().contains("maximum context length");
        match too_long {
            true => Error::invalid("context_length_exceeded", error.message().to_owned()).with_source(error),
            false => error,
        }
    }
}

forward_to_endpoint!(VllmModule);

impl fmt::Debug for VllmModule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("VllmModule").field(&self.0.http).finish()
    }
}
