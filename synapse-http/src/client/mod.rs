//! Any OpenAI-compatible endpoint, ours or another's, as a module.
//!
//! # What is bounded
//! Connecting (5 s), the wait for a head and for the first content (5 minutes, since a reply that is not streamed has none before it is
//! done), silence
//! within a body (30 s), a line and an event (1 MiB each), a whole reply (64 MiB), an error body (64 KiB, 5 s). A
//! [`Deadline`](synapse_core::Deadline) in the input ends all of it, and travels on in `x-synapse-deadline-ms`.
//!
//! # What a broken reply is called
//! | code | what happened |
//! | --- | --- |
//! | `address_refused`, `plain_http_refused` | a member's address is not one that is dialled |
//! | `tls_wrong_key` and [others](crate::tls) | who answers is not the member |
//! | `connect_failed` | nobody serves at the address |
//! | `unreachable` | the machine at the address does not answer: no way there, or it is gone |
//! | `no_reply` | the connection broke before a head came |
//! | `head_timeout`, `idle_timeout`, `deadline_exceeded` | silence |
//! | `connection_cut` | the connection broke within the reply |
//! | `length_mismatch` | the body is not as long as its head says |
//! | `truncated_event` | the stream ended within an event |
//! | `truncated_reply` | the stream ended without `[DONE]`, in Ollama's format without `"done":true` |
//! | `event_too_large`, `reply_too_large` | past a limit |
//! | `invalid_event`, `invalid_reply` | not UTF-8, or no JSON object |
//! | `encoded_reply` | compressed, which nobody asked for |
//! | `unexpected_content_type` | neither JSON nor a stream of events |
//!
//! # Whose fault it is
//! A refusal of the request itself (400, 404, 413, 422) stays the client's, and is not retried. A refusal of *us*, who asked
//! for somebody else, is not the client's: a key that is not accepted (401, 403) is `unavailable`, a rate that we used up
//! (429) is `overloaded`. Both say that somebody else may answer at once ([`Retry::Elsewhere`](synapse_core::Retry)), since
//! that is what a pool can do about it; how long the server wants to be left alone is kept beside it, in [`Upstream`].

mod ask;
mod body;
mod builder;
mod call;
mod connect;
mod control;
mod discover;
mod drain;
mod look;
mod meter;
mod scores;
mod sign;
mod transport;
mod upstream;
mod vet;

use std::{fmt, sync::Arc};

use synapse_core::{
    Ending, Error, Health, InferenceModule, Input, MetricsData, ModuleCapabilities, Output, Tap as _,
    async_trait,
};
use tokio::sync::Mutex;

pub use self::{
    builder::Builder,
    connect::{HttpConnect, SignedHttp},
    look::Look,
    scores::ScoresClient,
    upstream::Upstream,
};
use self::{
    builder::Settings,
    discover::{Found, Known},
    drain::Drains,
    meter::Meter,
    transport::Transport,
};

/// An OpenAI-compatible endpoint as a module.
///
/// What it serves is asked when it is initialised, and again where a health check hears that it changed.
///
/// What the server sends is passed on byte for byte; what the client sent is, too, unless a layer edited it. A request in
/// another format goes out as it came where the server is said to [speak](Builder::speaks) that format, or says so itself,
/// and in OpenAI's where not. Dropping an
/// output closes its connection, which is how the server learns that nobody waits. A clone shares everything.
///
/// ```no_run
/// use std::time::Duration;
/// use synapse_http::OpenAiModule;
///
/// # async fn connect() -> Result<(), synapse_core::Error> {
/// let local = OpenAiModule::connect("http://127.0.0.1:11434").await?;
/// let hosted = OpenAiModule::builder("https://api.example.com/v1")
///     .api_key("sk-…")
///     .idle_timeout(Duration::from_secs(60))
///     .build()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct OpenAiModule(Arc<Shared>);

struct Shared {
    transport: Transport,
    settings: Settings,
    found: std::sync::RwLock<Option<Found>>,
    health: Mutex<Option<Known>>,
    meter: Arc<Meter>,
    drains: Drains,
}

impl OpenAiModule {
    /// A module that reaches the endpoint at `url`, after a look at what it serves.
    ///
    /// `url` is the server's address, with or without `/v1`: `http://127.0.0.1:11434`.
    ///
    /// # Errors
    /// As [`Builder::build`] and [`initialize`](InferenceModule::initialize).
    pub async fn connect(url: &str) -> Result<Self, Error> {
        let module = Self::builder(url).build()?;
        module.initialize().await?;
        Ok(module)
    }

    /// A module with other than the usual settings.
    pub fn builder(url: impl Into<String>) -> Builder {
        Builder::new(url.into())
    }

    fn new(transport: Transport, settings: Settings) -> Self {
        Self(Arc::new(Shared {
            transport,
            settings,
            found: std::sync::RwLock::default(),
            health: Mutex::default(),
            meter: Arc::default(),
            drains: Drains::new(),
        }))
    }
}

impl Shared {
    fn found(&self) -> Option<Found> {
        self.found
            .read()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .clone()
    }

    fn set_found(&self, found: Found) {
        *self
            .found
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner) = Some(found);
    }
}

#[async_trait]
impl InferenceModule for OpenAiModule {
    async fn initialize(&self) -> Result<(), Error> {
        let shared = &*self.0;
        shared.drains.check_open()?;
        let found = discover::discover(&shared.transport).await?;
        *shared.health.lock().await = Some(Known::now(Health::ready()));
        shared.set_found(found);
        Ok(())
    }

    async fn health_check(&self) -> Result<Health, Error> {
        let shared = &*self.0;
        let Some(found) = shared.found() else {
            return Ok(Health::unhealthy("the endpoint was not reached yet"));
        };
        if shared.drains.check_open().is_err() {
            return Ok(Health::unhealthy("the module was shut down"));
        }
        let (health, changed) = discover::health(&shared.transport, &found, &shared.health).await?;
        if changed {
            shared.set_found(discover::discover(&shared.transport).await?);
        }
        Ok(health)
    }

    fn get_capabilities(&self) -> ModuleCapabilities {
        let found = self.0.found();
        let mut capabilities = found.map_or_else(discover::nothing_yet, |found| found.capabilities);
        for dialect in &self.0.settings.speaks {
            if capabilities.dialects.iter().all(|name| *name != dialect.name()) {
                capabilities.dialects.push(dialect.name().to_owned());
            }
        }
        capabilities
    }

    async fn run_inference(&self, input: Input) -> Result<Output, Error> {
        let shared = &*self.0;
        let mut in_flight = shared.meter.begin();
        let answer = match shared.drains.check_open() {
            Ok(()) => call::call(shared, &input).await,
            Err(closed) => Err(closed),
        };
        match answer {
            Ok(mut output) => {
                output.body.tap(in_flight);
                Ok(output)
            }
            Err(error) => {
                in_flight.on_end(&Ending::Broken(error.clone()));
                Err(error)
            }
        }
    }

    fn get_metrics(&self) -> MetricsData {
        let mut metrics = MetricsData::default();
        self.0.meter.report(&mut metrics);
        self.0.drains.report(&mut metrics);
        metrics
    }

    async fn shutdown(&self) -> Result<(), Error> {
        self.0.drains.close().await;
        Ok(())
    }
}

impl fmt::Debug for OpenAiModule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenAiModule")
            .field("base", &self.0.transport.base())
            .field("settings", &self.0.settings)
            .finish_non_exhaustive()
    }
}
