//! A module that does as it is told.

use std::{fmt, future::Future, pin::Pin, sync::Arc};

use async_trait::async_trait;

use crate::{
    Error, Health, InferenceModule, Input, MetricsData, ModelInfo, ModuleCapabilities, Output, Task,
};

type Answer = Pin<Box<dyn Future<Output = Result<Output, Error>> + Send>>;

/// A module whose every answer is a closure's: for tests of layers and pools, and to inject faults.
#[derive(Clone)]
pub struct Scripted {
    script: Arc<dyn Fn(Input) -> Answer + Send + Sync>,
    capabilities: ModuleCapabilities,
}

impl Scripted {
    /// A module that answers as `script` says, and claims the model `scripted` for chat.
    pub fn new<F, Fut>(script: F) -> Self
    where
        F: Fn(Input) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Output, Error>> + Send + 'static,
    {
        Self {
            script: Arc::new(move |input| Box::pin(script(input))),
            capabilities: ModuleCapabilities::new("scripted")
                .with_task(Task::CHAT)
                .with_model(ModelInfo::new("scripted")),
        }
    }

    /// The same with other claims.
    #[must_use]
    pub fn with_capabilities(mut self, capabilities: ModuleCapabilities) -> Self {
        self.capabilities = capabilities;
        self
    }
}

impl fmt::Debug for Scripted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scripted").finish_non_exhaustive()
    }
}

#[async_trait]
impl InferenceModule for Scripted {
    async fn initialize(&self) -> Result<(), Error> {
        Ok(())
    }

    async fn health_check(&self) -> Result<Health, Error> {
        Ok(Health::ready())
    }

    fn get_capabilities(&self) -> ModuleCapabilities {
        self.capabilities.clone()
    }

    async fn run_inference(&self, input: Input) -> Result<Output, Error> {
        (self.script)(input).await
    }

    fn get_metrics(&self) -> MetricsData {
        MetricsData::default()
    }
}
