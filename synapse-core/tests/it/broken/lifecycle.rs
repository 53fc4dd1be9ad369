//! Beginnings and ends, and wrappers that lose them.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::SeqCst},
};

use synapse_core::{
    Error, Health, InferenceModule, Input, MetricsData, ModuleCapabilities, Output, async_trait,
};

use super::{Broken, honest_answer};

pub(crate) fn initializes_once() -> Broken {
    Broken {
        initialize: Box::new(once),
        ..Broken::honest()
    }
}

pub(crate) fn shuts_down_once() -> Broken {
    Broken {
        shutdown: Box::new(once),
        ..Broken::honest()
    }
}

pub(crate) fn hangs_after_shutdown() -> Broken {
    let over = Arc::new(AtomicBool::new(false));
    let gone = over.clone();
    Broken {
        shutdown: Box::new(move |_| {
            gone.store(true, SeqCst);
            Ok(())
        }),
        ..Broken::answering(move |input| {
            let over = over.load(SeqCst);
            async move {
                if over {
                    std::future::pending::<()>().await;
                }
                honest_answer(&input)
            }
        })
    }
}

fn once(nth: usize) -> Result<(), Error> {
    match nth {
        0 => Ok(()),
        _ => Err(Error::internal("twice", "a fault injected into the second call")),
    }
}

/// A wrapper that leaves shutdown to the default.
pub(crate) struct NeverShutdown<M>(pub(crate) M);

#[async_trait]
impl<M: InferenceModule> InferenceModule for NeverShutdown<M> {
    async fn initialize(&self) -> Result<(), Error> {
        self.0.initialize().await
    }
    async fn health_check(&self) -> Result<Health, Error> {
        self.0.health_check().await
    }
    fn get_capabilities(&self) -> ModuleCapabilities {
        self.0.get_capabilities()
    }
    async fn run_inference(&self, input: Input) -> Result<Output, Error> {
        self.0.run_inference(input).await
    }
    fn get_metrics(&self) -> MetricsData {
        self.0.get_metrics()
    }
}

/// A wrapper that has nothing to initialise, and thinks that nobody has.
pub(crate) struct NeitherInitialize<M>(pub(crate) M);

#[async_trait]
impl<M: InferenceModule> InferenceModule for NeitherInitialize<M> {
    async fn initialize(&self) -> Result<(), Error> {
        Ok(())
    }
    async fn health_check(&self) -> Result<Health, Error> {
        self.0.health_check().await
    }
    fn get_capabilities(&self) -> ModuleCapabilities {
        self.0.get_capabilities()
    }
    async fn run_inference(&self, input: Input) -> Result<Output, Error> {
        self.0.run_inference(input).await
    }
    fn get_metrics(&self) -> MetricsData {
        self.0.get_metrics()
    }
    async fn shutdown(&self) -> Result<(), Error> {
        self.0.shutdown().await
    }
}

/// A wrapper that says that all is well.
pub(crate) struct SwallowsErrors<M>(pub(crate) M);

#[async_trait]
impl<M: InferenceModule> InferenceModule for SwallowsErrors<M> {
    async fn initialize(&self) -> Result<(), Error> {
        let _ = self.0.initialize().await;
        Ok(())
    }
    async fn health_check(&self) -> Result<Health, Error> {
        let _ = self.0.health_check().await;
        Ok(Health::ready())
    }
    fn get_capabilities(&self) -> ModuleCapabilities {
        self.0.get_capabilities()
    }
    async fn run_inference(&self, input: Input) -> Result<Output, Error> {
        self.0.run_inference(input).await
    }
    fn get_metrics(&self) -> MetricsData {
        self.0.get_metrics()
    }
    async fn shutdown(&self) -> Result<(), Error> {
        let _ = self.0.shutdown().await;
        Ok(())
    }
}

/// A wrapper that spawns, so that nobody can cancel.
pub(crate) struct Spawning<M>(pub(crate) Arc<M>);

#[async_trait]
impl<M: InferenceModule> InferenceModule for Spawning<M> {
    async fn initialize(&self) -> Result<(), Error> {
        self.0.initialize().await
    }
    async fn health_check(&self) -> Result<Health, Error> {
        self.0.health_check().await
    }
    fn get_capabilities(&self) -> ModuleCapabilities {
        self.0.get_capabilities()
    }
    async fn run_inference(&self, input: Input) -> Result<Output, Error> {
        let module = self.0.clone();
        let answer = tokio::spawn(async move { module.run_inference(input).await });
        answer.await.expect("the module does not panic")
    }
    fn get_metrics(&self) -> MetricsData {
        self.0.get_metrics()
    }
    async fn shutdown(&self) -> Result<(), Error> {
        self.0.shutdown().await
    }
}
