//! What a miner asks itself before others do.

use std::{
    future::poll_fn,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::Arc,
    task::Poll,
    time::Duration,
};

use synapse_core::{
    Error, Health, InferenceModule, Input, MetricsData, ModuleCapabilities, Output, async_trait,
    probe::{Claim, Questions},
};
use tokio::time::{Instant, sleep, timeout};

use crate::access::OwnRequest;

/// How long a module may take to become well after it was initialised, such as an engine that still loads.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// How long one question about its health may take.
const LONGEST_CHECK: Duration = Duration::from_secs(5);
/// How long its own question may take to its first content.
const LONGEST_ANSWER: Duration = Duration::from_secs(60);

/// A module that is initialised only once it passed a look at itself, so that a server of it is not ready before.
#[derive(Clone)]
pub(super) struct Checked {
    module: Arc<dyn InferenceModule>,
    asks: bool,
}

impl Checked {
    pub(super) fn new(module: Arc<dyn InferenceModule>, asks: bool) -> Self {
        Self { module, asks }
    }

    /// Whether it is well, claims something, and answers as it claims to.
    pub(super) async fn check(&self) -> Result<(), Error> {
        self.is_well().await?;
        let capabilities = self.module.get_capabilities();
        if capabilities.tasks.is_empty() {
            return Err(claims_nothing(&capabilities, "no task"));
        }
        if capabilities.models.is_empty() {
            return Err(claims_nothing(&capabilities, "no model"));
        }
        // Of what is to be answered: some of a validator's questions must be refused.
        let claim = Claim::Model(capabilities.models[0].id.clone());
        if self.asks
            && let Some(mut probe) = Questions::new(0).about(&capabilities, &claim, 0)
        {
            probe.input.extensions_mut().insert(OwnRequest);
            let first = timeout(
                LONGEST_ANSWER.min(probe.limit),
                self.module.run_inference(probe.input),
            );
            let failed = |why: String| {
                Error::unavailable(
                    "own_question_failed",
                    format!(
                        "the module {} did not answer its own node: {why}",
                        capabilities.name
                    ),
                )
                .with_hint("see why before validators do")
            };
            // Content came, and the rest is not worth the work: dropping it ends that.
            match first.await {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => return Err(failed(error.to_string()).with_source(error)),
                Err(late) => return Err(failed(format!("nothing came in time, {late}"))),
            }
        }
        Ok(())
    }

    async fn is_well(&self) -> Result<(), Error> {
        let until = Instant::now() + PATIENCE;
        loop {
            let health = health_of(&*self.module).await;
            if health.is_serving() {
                return Ok(());
            }
            if Instant::now() >= until {
                let why = health.reason().unwrap_or("it does not say why");
                return Err(Error::unavailable(
                    "module_unhealthy",
                    format!("the module does not become well within {PATIENCE:?}: {why}"),
                ));
            }
            sleep(LOOK_AGAIN).await;
        }
    }
}

/// How a module is; unhealthy where it cannot say.
pub(super) async fn health_of(module: &dyn InferenceModule) -> Health {
    match timeout(
        LONGEST_CHECK,
        caught("health_check", async { module.health_check().await }),
    )
    .await
    {
        Ok(Ok(health)) => health,
        Ok(Err(error)) => Health::unhealthy(error.to_string()),
        Err(_) => Health::unhealthy(format!("the check takes longer than {LONGEST_CHECK:?}")),
    }
}

/// What a call of an author's comes to, where a panic is one more error.
pub(super) async fn caught<T>(what: &str, call: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let mut call = pin!(call);
    let ended = poll_fn(|cx| {
        let polled = catch_unwind(AssertUnwindSafe(|| call.as_mut().poll(cx)));
        // The payload goes to the log.
        polled.map_or_else(
            |payload| Poll::Ready(Err(Error::from_panic(&*payload))),
            |poll| poll.map(Ok),
        )
    });
    ended.await.unwrap_or_else(|panic| {
        Err(Error::internal("panicked", format!("`{what}` panicked, as the log says")).with_source(panic))
    })
}

fn claims_nothing(capabilities: &ModuleCapabilities, what: &str) -> Error {
    Error::unsupported(
        "nothing_claimed",
        format!(
            "the module {} claims {what}, so nobody would ask it",
            capabilities.name
        ),
    )
    .with_hint("load a model, or say which there are")
}

#[async_trait]
impl InferenceModule for Checked {
    async fn initialize(&self) -> Result<(), Error> {
        self.module.initialize().await?;
        self.check().await
    }

    async fn health_check(&self) -> Result<Health, Error> {
        self.module.health_check().await
    }

    fn get_capabilities(&self) -> ModuleCapabilities {
        self.module.get_capabilities()
    }

    async fn run_inference(&self, input: Input) -> Result<Output, Error> {
        self.module.run_inference(input).await
    }

    fn get_metrics(&self) -> MetricsData {
        self.module.get_metrics()
    }

    async fn shutdown(&self) -> Result<(), Error> {
        self.module.shutdown().await
    }
}
