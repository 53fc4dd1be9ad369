//! Replicas of one image.

use std::sync::Arc;

use synapse_core::{Error, InferenceModule, async_trait};

use super::Builder;
use crate::scale::Spawner;

/// Starts containers of one image, as replicas.
#[derive(Debug, Clone)]
pub struct ContainerSpawner(Builder);

impl ContainerSpawner {
    /// Replicas that are all run so.
    #[must_use]
    pub fn new(terms: Builder) -> Self {
        Self(terms)
    }
}

#[async_trait]
impl Spawner for ContainerSpawner {
    async fn start(&self, number: u32) -> Result<Arc<dyn InferenceModule>, Error> {
        let module = self.0.clone().number(number).start().await?;
        Ok(Arc::new(module))
    }
}
