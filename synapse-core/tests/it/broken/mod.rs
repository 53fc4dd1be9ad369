//! Modules that break the contract, each in one way.

mod cancel;
mod claims;
mod lifecycle;
mod replies;

use std::{
    future::Future,
    pin::Pin,
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
};

use synapse_core::{
    Body, Delta, Error, FinishReason, Health, InferenceModule, Input, MetricsData, ModelInfo,
    ModuleCapabilities, Output, Task, Usage, async_trait,
};

pub(crate) use self::{
    cancel::{leaks_its_slot_early, leaks_its_slot_mid_stream},
    claims::{changing_capabilities, falling_counters, odd_metric_names, ready_without_a_model},
    lifecycle::{
        NeitherInitialize, NeverShutdown, Spawning, SwallowsErrors, hangs_after_shutdown, initializes_once,
        shuts_down_once,
    },
    replies::{
        accepts_any_model, accepts_any_task, empty_answers, error_as_first_chunk, falling_usage,
        goes_on_after_the_last, lies_about_streaming, never_answers, one_vector_for_all, panics_at_once,
        panics_in_the_body, resolves_before_content, serves_one_at_a_time, stops_without_a_last_chunk,
    },
};

type Answer = Pin<Box<dyn Future<Output = Result<Output, Error>> + Send>>;
type Call<T> = Box<dyn Fn(usize) -> T + Send + Sync>;

/// An honest module, but for what a test replaces; each closure gets how often it was called before.
pub(crate) struct Broken {
    initialize: Call<Result<(), Error>>,
    health: Call<Health>,
    claims: Call<ModuleCapabilities>,
    answer: Box<dyn Fn(Input) -> Answer + Send + Sync>,
    metrics: Call<MetricsData>,
    shutdown: Call<Result<(), Error>>,
    calls: [AtomicUsize; 5],
}

impl Broken {
    pub(crate) fn honest() -> Self {
        Self {
            initialize: Box::new(|_| Ok(())),
            health: Box::new(|_| Health::ready()),
            claims: Box::new(|_| claims()),
            answer: Box::new(|input| Box::pin(async move { honest_answer(&input) })),
            metrics: Box::new(|_| MetricsData::default()),
            shutdown: Box::new(|_| Ok(())),
            calls: Default::default(),
        }
    }

    /// An honest module whose answers are broken.
    fn answering<Fut>(answer: impl Fn(Input) -> Fut + Send + Sync + 'static) -> Self
    where
        Fut: Future<Output = Result<Output, Error>> + Send + 'static,
    {
        Self {
            answer: Box::new(move |input| Box::pin(answer(input))),
            ..Self::honest()
        }
    }

    /// An honest module whose bodies are broken; requests that it must refuse are refused.
    fn replying(body: impl Fn() -> Body + Send + Sync + 'static) -> Self {
        Self::answering(move |input| {
            let output = claims().check_input(&input).map(|()| Output::new(body()));
            async move { output }
        })
    }

    fn nth(&self, method: usize) -> usize {
        self.calls[method].fetch_add(1, SeqCst)
    }
}

fn claims() -> ModuleCapabilities {
    ModuleCapabilities::new("broken")
        .with_task(Task::CHAT)
        .with_model(ModelInfo::new("broken"))
        .with_streaming()
}

fn honest_answer(input: &Input) -> Result<Output, Error> {
    claims().check_input(input)?;
    Ok(Output::new(Body::from_deltas(honest_deltas())))
}

fn honest_deltas() -> [Delta; 3] {
    let usage = Usage {
        input_tokens: 4,
        output_tokens: 2,
    };
    [
        Delta::text("one "),
        Delta::text("two"),
        Delta::finish(FinishReason::Stop).with_usage(usage),
    ]
}

#[async_trait]
impl InferenceModule for Broken {
    async fn initialize(&self) -> Result<(), Error> {
        (self.initialize)(self.nth(0))
    }

    async fn health_check(&self) -> Result<Health, Error> {
        Ok((self.health)(self.nth(1)))
    }

    fn get_capabilities(&self) -> ModuleCapabilities {
        (self.claims)(self.nth(2))
    }

    async fn run_inference(&self, input: Input) -> Result<Output, Error> {
        (self.answer)(input).await
    }

    fn get_metrics(&self) -> MetricsData {
        (self.metrics)(self.nth(3))
    }

    async fn shutdown(&self) -> Result<(), Error> {
        (self.shutdown)(self.nth(4))
    }
}
