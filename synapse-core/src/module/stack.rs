//! A module behind layers: a module again.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use tower::{Layer, ServiceExt};

use super::{
    Attached, Health, InferenceModule, InferenceService, MetricsData, ModuleCapabilities, ModuleService,
    service::caught,
};
use crate::{Error, Input, Output};

/// A module behind layers; made by [`ModuleExt::with`](super::ModuleExt::with).
///
/// Each request runs on a clone of the service. A clone of a stack is the same stack: it shares module and layers.
pub struct Stack<S, M> {
    service: S,
    module: Arc<M>,
    attached: Vec<Arc<dyn Attached>>,
}

impl<S, M> Stack<S, M> {
    pub(super) fn new<L>(module: M, layers: L) -> Self
    where
        L: Layer<ModuleService<M>, Service = S>,
    {
        let module = Arc::new(module);
        Self {
            service: layers.layer(ModuleService::shared(module.clone())),
            module,
            attached: Vec::new(),
        }
    }

    /// Lets a part of this stack report: usually a clone of a layer. Attach the outermost part first.
    #[must_use]
    pub fn attach(mut self, part: impl Attached) -> Self {
        self.attached.push(Arc::new(part));
        self
    }
}

impl<S: Clone, M> Clone for Stack<S, M> {
    fn clone(&self) -> Self {
        Self {
            service: self.service.clone(),
            module: self.module.clone(),
            attached: self.attached.clone(),
        }
    }
}

impl<S, M> fmt::Debug for Stack<S, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stack")
            .field("attached", &self.attached.len())
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl<S: InferenceService, M: InferenceModule> InferenceModule for Stack<S, M> {
    async fn initialize(&self) -> Result<(), Error> {
        self.module.initialize().await
    }

    async fn health_check(&self) -> Result<Health, Error> {
        let health = self.module.health_check().await?;
        Ok(self
            .attached
            .iter()
            .fold(health, |worst, part| worst.worse(part.health())))
    }

    fn get_capabilities(&self) -> ModuleCapabilities {
        let mut capabilities = self.module.get_capabilities();
        for part in &self.attached {
            part.capabilities(&mut capabilities);
        }
        capabilities
    }

    async fn run_inference(&self, input: Input) -> Result<Output, Error> {
        let service = self.service.clone();
        caught(async move {
            let answer = service.oneshot(input).await;
            answer.map_err(|error| Error::from_boxed(error.into()))
        })
        .await
    }

    fn get_metrics(&self) -> MetricsData {
        let mut metrics = self.module.get_metrics();
        for part in &self.attached {
            part.metrics(&mut metrics);
        }
        metrics
    }

    /// Ends every part, outermost first, and then the module, whatever any of them says; the first error comes out.
    async fn shutdown(&self) -> Result<(), Error> {
        let mut result = Ok(());
        for part in &self.attached {
            result = result.and(part.shutdown().await);
        }
        result.and(self.module.shutdown().await)
    }
}
