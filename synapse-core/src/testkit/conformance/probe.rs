//! A module that remembers what it was asked.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
};

use async_trait::async_trait;

use crate::{
    Body, Chunk, Delta, Error, FinishReason, Health, InferenceModule, Input, MetricsData, ModelInfo,
    ModuleCapabilities, Output, Task,
};

/// The module that [`conformance_of_wrapper`](super::conformance_of_wrapper) hands to a wrapper: it answers chat for the
/// model `probe` and remembers what it was asked. A clone remembers with it.
#[derive(Debug, Clone, Default)]
pub struct Probe(Arc<State>);

#[derive(Debug, Default)]
struct State {
    calls: [AtomicUsize; 6],
    failing: AtomicBool,
    hanging: AtomicBool,
    running: AtomicUsize,
}

/// A method of a module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    Initialize,
    HealthCheck,
    GetCapabilities,
    RunInference,
    GetMetrics,
    Shutdown,
}

impl Probe {
    /// What the probe counts as: a counter that only it has.
    pub(super) const COUNTER: &'static str = "probe.asked";
    pub(super) const MODEL: &'static str = "probe";

    pub(super) fn failing() -> Self {
        let probe = Self::default();
        probe.0.failing.store(true, SeqCst);
        probe
    }

    pub(super) fn hanging() -> Self {
        let probe = Self::default();
        probe.0.hanging.store(true, SeqCst);
        probe
    }

    pub(super) fn calls(&self, method: Method) -> usize {
        self.0.calls[method as usize].load(SeqCst)
    }

    /// Requests that were begun and neither ended nor dropped.
    pub(super) fn running(&self) -> usize {
        self.0.running.load(SeqCst)
    }

    fn called(&self, method: Method) -> Result<(), Error> {
        self.0.calls[method as usize].fetch_add(1, SeqCst);
        if self.0.failing.load(SeqCst) {
            return Err(Error::unavailable("probe_failed", "the probe was told to fail"));
        }
        Ok(())
    }
}

#[async_trait]
impl InferenceModule for Probe {
    async fn initialize(&self) -> Result<(), Error> {
        self.called(Method::Initialize)
    }

    async fn health_check(&self) -> Result<Health, Error> {
        Ok(match self.called(Method::HealthCheck) {
            Ok(()) => Health::ready(),
            Err(_) => Health::unhealthy("the probe was told to fail"),
        })
    }

    fn get_capabilities(&self) -> ModuleCapabilities {
        let _ = self.called(Method::GetCapabilities);
        ModuleCapabilities::new("probe")
            .with_task(Task::CHAT)
            .with_model(ModelInfo::new(Self::MODEL))
            .with_streaming()
    }

    async fn run_inference(&self, _: Input) -> Result<Output, Error> {
        self.called(Method::RunInference)?;
        let running = Running::new(self.0.clone());
        if self.0.hanging.load(SeqCst) {
            std::future::pending::<()>().await;
        }
        drop(running);
        let deltas = [Delta::text("probe"), Delta::finish(FinishReason::Stop)];
        let mut body = Body::from_deltas(deltas);
        body.peek().await.map(Chunk::is_last)?;
        Ok(Output::new(body))
    }

    fn get_metrics(&self) -> MetricsData {
        let _ = self.called(Method::GetMetrics);
        let mut metrics = MetricsData::default();
        metrics.counter(Self::COUNTER, self.calls(Method::RunInference) as u64);
        metrics
    }

    async fn shutdown(&self) -> Result<(), Error> {
        self.called(Method::Shutdown)
    }
}

struct Running(Arc<State>);

impl Running {
    fn new(state: Arc<State>) -> Self {
        state.running.fetch_add(1, SeqCst);
        Self(state)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, SeqCst);
    }
}
