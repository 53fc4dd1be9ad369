//! What starts a replica.

use std::sync::Arc;

use synapse_core::{Error, InferenceModule, async_trait};

/// Starts replicas of one module: containers of one image, processes of one engine.
#[async_trait]
pub trait Spawner: Send + Sync + 'static {
    /// Starts a replica and waits until it is ready. Its [`shutdown`](InferenceModule::shutdown) ends it and gives back
    /// whatever it holds; dropped without one, it ends too. `number` is below the most replicas there may be, and no
    /// other replica that lives has it: it picks the device, the port, the name. Where it takes too long the call is dropped:
    /// nothing of the replica may be left then, either.
    ///
    /// # Errors
    /// Where it does not become ready. Nothing of it is left then.
    async fn start(&self, number: u32) -> Result<Arc<dyn InferenceModule>, Error>;
}
