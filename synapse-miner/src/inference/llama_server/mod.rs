//! llama.cpp's own HTTP server as a module.

mod discover;
mod extras;
mod look;
mod refused;

use std::{fmt, net::IpAddr, sync::Arc, time::Duration};

use synapse_core::{
    Endpoint as Address, Error, Health, InferenceModule, Input, MetricsData, ModuleCapabilities, Output,
    Task, async_trait,
};
use synapse_http::{
    OpenAiModule,
    client::{Builder, Upstream},
};

pub use self::extras::Slot;
use super::{
    endpoint::{Endpoint, Engine, Found, LOADING, Seen, forward_to_endpoint},
    features::TOP_LOGPROBS,
    screen::{Reserved, Why},
};

/// When a server that still loads its model is worth another attempt.
const LOADS_AGAIN: Duration = Duration::from_secs(2);

/// Its own fields that are not every caller's.
pub(super) const RESERVED: &[Reserved] = &[
    Reserved {
        name: "n_probs",
        why: Why::AtMost(TOP_LOGPROBS),
    },
    Reserved {
        name: "n_predict",
        why: Why::Never(
            "counts for more than max_tokens, which limits are kept by",
            "send max_tokens",
        ),
    },
    Reserved {
        name: "id_slot",
        why: Why::Never(
            "names a slot, and with it what another caller's requests left there",
            "leave it out: a free slot is found",
        ),
    },
    Reserved {
        name: "slot_id",
        why: Why::Never(
            "names a slot, and with it what another caller's requests left there",
            "leave it out: a free slot is found",
        ),
    },
    Reserved {
        name: "lora",
        why: Why::Never(
            "changes the adapters that the operator loaded",
            "leave it out, or ask for a model that is served so",
        ),
    },
];

/// A llama-server as a module: OpenAI's API, and what this server has beyond it.
///
/// What it serves is asked of `/props` and `/v1/models`: the model, the context that *one* request has (llama-server divides
/// its own by the slots), how many slots there are. How it is, of `/health`, `/slots` and, where it was started with
/// `--metrics`, of `/metrics`; where it says nothing of its slots, or not in time, its requests from here count as what it is
/// busy with. A server that answers with the model that it has, whatever it is asked for, is not let do so
/// here: a model that it did not list is [`NotFound`](synapse_core::ErrorKind::NotFound).
///
/// Each request has a connection of its own, since the server closes one after a streamed reply without having said so.
///
/// A server that was started again with another model is noticed at the next health check, and so is one that was not up yet
/// when the module was made.
///
/// | code | what happened |
/// | --- | --- |
/// | `model_loading` | the server runs and still loads its model; it says when to try again |
/// | `context_length_exceeded` | the prompt is longer than one slot's context |
/// | `model_cannot` | the model takes no images, sounds or films |
/// | `remote_media` | an image, a sound or a film at an address: the server would fetch it from where it runs |
/// | `field_unsupported` | `id_slot`, `slot_id`, `lora` or `n_predict`: they reach past the request |
/// | `out_of_range` | `n_probs` above 20 |
/// | `not_initialized` | nobody asked the server yet what it serves, or it was not there |
///
/// and those of [`OpenAiModule`](synapse_http::client).
///
/// ```no_run
/// use synapse_core::ModuleExt;
/// use synapse_miner::inference::{LlamaServerModule, MeterLayer};
///
/// # #[allow(dead_code)]
/// # async fn run() -> Result<(), synapse_core::Error> {
/// let engine = LlamaServerModule::connect("http://127.0.0.1:8080").await?;
/// let tokens = engine.tokenize("Name three primary colours.").await?;
/// let meter = MeterLayer::new();
/// let module = engine.with(meter.clone()).attach(meter);
/// # drop((tokens, module));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct LlamaServerModule(Arc<Endpoint<LlamaServer>>);

#[derive(Debug)]
pub(super) struct LlamaServer {
    /// Whether its files are this machine's.
    local: bool,
}

impl LlamaServerModule {
    /// The server at `url`, after a look at what it serves. Of one on loopback the model's file is read once, for its digest:
    /// about a second a gigabyte.
    ///
    /// # Errors
    /// `model_loading` where it still loads; as [`OpenAiModule::connect`] where it cannot be reached or is another server.
    pub async fn connect(url: &str) -> Result<Self, Error> {
        let module = Self::at(OpenAiModule::builder(url), is_loopback(url))?;
        module.initialize().await?;
        Ok(module)
    }

    /// A server as these settings reach it: `LlamaServerModule::new(OpenAiModule::builder(url).api_key("…"))`. The network is
    /// not touched before [`initialize`](InferenceModule::initialize) or the first health check.
    ///
    /// # Errors
    /// As [`Builder::build`].
    pub fn new(settings: Builder) -> Result<Self, Error> {
        Self::at(settings, false)
    }

    /// As [`new`](Self::new), of a server that runs on this machine: the path that it has its model from is one here, and the
    /// file is read once, for its digest.
    ///
    /// # Errors
    /// As [`Builder::build`].
    pub fn local(settings: Builder) -> Result<Self, Error> {
        Self::at(settings, true)
    }

    fn at(settings: Builder, local: bool) -> Result<Self, Error> {
        // It closes a connection after a streamed reply without having said so: a request sent on one that was kept is lost.
        let http = settings.idle_connections(0).build()?;
        Ok(Self(Arc::new(Endpoint::new(LlamaServer { local }, http))))
    }

    /// The server's release, as it says; `None` before it was asked.
    #[must_use]
    pub fn version(&self) -> Option<String> {
        Some(self.0.found()?.version.clone())
    }
}

#[async_trait]
impl Engine for LlamaServer {
    const NAME: &'static str = "llama-server";
    const RESERVED: &'static [Reserved] = RESERVED;

    fn unseen(&self) -> ModuleCapabilities {
        discover::unseen()
            .with_task(Task::CHAT)
            .with_task(Task::TEXT_COMPLETION)
    }

    async fn discover(&self, http: &OpenAiModule) -> Result<Found, Error> {
        discover::discover(http, self.local).await
    }

    async fn look(&self, http: &OpenAiModule, found: &Found) -> Result<Seen, Error> {
        look::look(http, found).await
    }

    fn explain(&self, error: Error) -> Error {
        let said = Upstream::of(&error).filter(|upstream| {
            upstream.status().is_some_and(|status| status.as_u16() == 503)
                && upstream
                    .said()
                    .is_some_and(|said| said.starts_with("Loading model"))
        });
        match said {
            Some(_) => Error::unavailable(LOADING, "llama-server still loads its model")
                .with_retry_after(LOADS_AGAIN)
                .with_source(error),
            None => refused::of_request(&error).unwrap_or(error),
        }
    }
}

forward_to_endpoint!(LlamaServerModule);

impl fmt::Debug for LlamaServerModule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LlamaServerModule").field(&self.0.http).finish()
    }
}

fn is_loopback(url: &str) -> bool {
    let Ok(url) = Address::http(url) else { return false };
    let url = url.to_string();
    let host = url.split_once("://").map_or("", |(_, rest)| rest);
    let host = host.split('/').next().unwrap_or_default();
    let host = match host.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    host == "localhost" || host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::is_loopback;

    #[test]
    fn only_this_machine_is_local() {
        for local in [
            "http://127.0.0.1:8080",
            "http://localhost:1/v1",
            "http://[::1]:8080",
            "http://127.3.0.1",
        ] {
            assert!(is_loopback(local), "{local}");
        }
        for far in [
            "http://10.0.0.1:8080",
            "http://localhost.example.com",
            "http://127.0.0.1.example.com",
            "nonsense",
        ] {
            assert!(!is_loopback(far), "{far}");
        }
    }
}
