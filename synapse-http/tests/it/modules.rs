//! Modules that a test can hold up, or that fail in the way it wants.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use futures_util::{StreamExt, stream};
use http::HeaderValue;
use synapse_core::{
    Body, Chunk, Delta, Ending, Error, Head, Health, InferenceModule, Input, MetricsData, ModelInfo,
    ModuleCapabilities, Output, Tap, Task, async_trait, testkit::Scripted,
};
use tokio::sync::Semaphore;

/// Answers every request with these wire events under this content type; an `Err` breaks the body there.
pub(crate) fn replays(content_type: Option<&'static str>, chunks: Vec<Result<Chunk, Error>>) -> Scripted {
    let chunks: VecDeque<_> = chunks.into();
    Scripted::new(move |_| {
        let head = match content_type {
            Some(given) => Head::default().with_content_type(HeaderValue::from_static(given)),
            None => Head::default(),
        };
        let output = Output::new(Body::new(stream::iter(chunks.clone()))).with_head(head);
        async move { Ok(output) }
    })
}

/// Sends an event whenever it is let, and counts how its bodies end and what is called of it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stepwise(Arc<Steps>);

#[derive(Debug)]
struct Steps {
    let_on: Arc<Semaphore>,
    started: AtomicUsize,
    endings: Mutex<Vec<&'static str>>,
    calls: Mutex<Vec<&'static str>>,
    initialised: Semaphore,
    holds_initialize: AtomicBool,
    event: Mutex<Vec<u8>>,
}

impl Default for Steps {
    fn default() -> Self {
        Self {
            let_on: Arc::new(Semaphore::new(0)),
            started: AtomicUsize::new(0),
            endings: Mutex::default(),
            calls: Mutex::default(),
            initialised: Semaphore::new(0),
            holds_initialize: AtomicBool::new(false),
            event: Mutex::new(b"data: {\"n\":1}\n\n".to_vec()),
        }
    }
}

impl Stepwise {
    /// Lets it send so many events; the one after the last of `events` is `[DONE]`.
    pub(crate) fn step(&self, events: usize) {
        self.0.let_on.add_permits(events);
    }

    /// Its events from now on.
    pub(crate) fn sends(&self, event: Vec<u8>) {
        *self.0.event.lock().unwrap() = event;
    }

    pub(crate) fn holds_initialize(self) -> Self {
        self.0.holds_initialize.store(true, Ordering::Relaxed);
        self
    }

    pub(crate) fn finish_initialize(&self) {
        self.0.initialised.add_permits(1);
    }

    pub(crate) fn started(&self) -> usize {
        self.0.started.load(Ordering::Relaxed)
    }

    pub(crate) fn endings(&self) -> Vec<&'static str> {
        self.0.endings.lock().unwrap().clone()
    }

    pub(crate) fn calls(&self) -> Vec<&'static str> {
        self.0.calls.lock().unwrap().clone()
    }

    fn called(&self, what: &'static str) {
        self.0.calls.lock().unwrap().push(what);
    }
}

/// Notes how a body ended.
struct Note(Stepwise);

impl Tap for Note {
    fn on_end(&mut self, ending: &Ending) {
        self.0.called("body ended");
        self.0.0.endings.lock().unwrap().push(ending.as_str());
    }
}

#[async_trait]
impl InferenceModule for Stepwise {
    async fn initialize(&self) -> Result<(), Error> {
        self.called("initialize");
        if self.0.holds_initialize.load(Ordering::Relaxed) {
            self.0.initialised.acquire().await.unwrap().forget();
        }
        Ok(())
    }

    async fn health_check(&self) -> Result<Health, Error> {
        Ok(Health::ready())
    }

    fn get_capabilities(&self) -> ModuleCapabilities {
        ModuleCapabilities::new("stepwise")
            .with_task(Task::CHAT)
            .with_model(ModelInfo::new("echo"))
    }

    /// As many events as `max_tokens` says (3 by default), and `[DONE]`.
    async fn run_inference(&self, input: Input) -> Result<Output, Error> {
        self.0.started.fetch_add(1, Ordering::Relaxed);
        let events = input.max_tokens()?.unwrap_or(3) as usize;
        let this = self.clone();
        let chunks = stream::iter(0..=events).then(move |n| {
            let this = this.clone();
            async move {
                this.0.let_on.acquire().await.unwrap().forget();
                let event = this.0.event.lock().unwrap().clone();
                Ok(if n == events {
                    Chunk::last("data: [DONE]\n\n")
                } else {
                    Chunk::event(event)
                })
            }
        });
        let mut body = Body::new(chunks);
        body.tap(Note(self.clone()));
        let events = HeaderValue::from_static("text/event-stream");
        Ok(Output::new(body).with_head(Head::default().with_content_type(events)))
    }

    fn get_metrics(&self) -> MetricsData {
        MetricsData::default()
    }

    async fn shutdown(&self) -> Result<(), Error> {
        self.called("shutdown");
        Ok(())
    }
}

/// Panics wherever it is told to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Panics {
    Run,
    Body,
    Capabilities,
    Health,
    Metrics,
}

#[async_trait]
impl InferenceModule for Panics {
    async fn initialize(&self) -> Result<(), Error> {
        Ok(())
    }

    async fn health_check(&self) -> Result<Health, Error> {
        assert!(*self != Self::Health, "told to");
        Ok(Health::ready())
    }

    fn get_capabilities(&self) -> ModuleCapabilities {
        assert!(*self != Self::Capabilities, "told to");
        ModuleCapabilities::new("panics")
    }

    async fn run_inference(&self, _: Input) -> Result<Output, Error> {
        assert!(*self != Self::Run, "told to");
        let chunks = stream::iter(0..2).map(|n| {
            assert!(n == 0, "told to");
            Ok(Chunk::delta(Delta::text("hi")))
        });
        Ok(Output::new(Body::new(chunks)))
    }

    fn get_metrics(&self) -> MetricsData {
        assert!(*self != Self::Metrics, "told to");
        MetricsData::default()
    }
}

/// Has counted this.
#[derive(Debug)]
pub(crate) struct Counts(pub(crate) MetricsData);

#[async_trait]
impl InferenceModule for Counts {
    async fn initialize(&self) -> Result<(), Error> {
        Ok(())
    }

    async fn health_check(&self) -> Result<Health, Error> {
        Ok(Health::degraded("told to"))
    }

    fn get_capabilities(&self) -> ModuleCapabilities {
        ModuleCapabilities::new("counts")
    }

    async fn run_inference(&self, _: Input) -> Result<Output, Error> {
        Err(Error::internal("unused", "nobody asks"))
    }

    fn get_metrics(&self) -> MetricsData {
        self.0.clone()
    }
}

/// Never says how it is.
#[derive(Debug)]
pub(crate) struct HangingHealth;

#[async_trait]
impl InferenceModule for HangingHealth {
    async fn initialize(&self) -> Result<(), Error> {
        Ok(())
    }

    async fn health_check(&self) -> Result<Health, Error> {
        std::future::pending().await
    }

    fn get_capabilities(&self) -> ModuleCapabilities {
        ModuleCapabilities::new("hangs")
    }

    async fn run_inference(&self, _: Input) -> Result<Output, Error> {
        Err(Error::internal("unused", "nobody asks"))
    }

    fn get_metrics(&self) -> MetricsData {
        MetricsData::default()
    }
}
