//! Nothing but what is claimed.

use synapse_core::{
    Error, Health, InferenceModule, Input, MetricsData, ModuleCapabilities, Output, async_trait,
};

/// A module that refuses tasks and models which it does not claim. Some engines answer with whatever they have loaded,
/// whichever model they are asked for.
#[derive(Debug)]
pub(crate) struct Claimed<M>(pub(crate) M);

#[async_trait]
impl<M: InferenceModule> InferenceModule for Claimed<M> {
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
        self.0.get_capabilities().check_input(&input)?;
        self.0.run_inference(input).await
    }

    fn get_metrics(&self) -> MetricsData {
        self.0.get_metrics()
    }

    async fn shutdown(&self) -> Result<(), Error> {
        self.0.shutdown().await
    }
}
