//! What a layer has to say of the stack it is part of.

use async_trait::async_trait;

use super::{Health, MetricsData, ModuleCapabilities};
use crate::Error;

/// A part of a [`Stack`](super::Stack) that reports: a queue that fills, a breaker that is open, a layer with work to end.
///
/// State lives in the layer, so a clone of the layer is what is [attached](super::Stack::attach). The worst health wins,
/// metrics and capabilities add up, shutdown runs from the outermost part to the innermost.
#[async_trait]
pub trait Attached: Send + Sync + 'static {
    /// Adds to, or narrows, what the stack says it can do.
    fn capabilities(&self, capabilities: &mut ModuleCapabilities) {
        let _ = capabilities;
    }

    /// How this part is.
    fn health(&self) -> Health {
        Health::ready()
    }

    /// Adds what this part counted.
    fn metrics(&self, metrics: &mut MetricsData) {
        let _ = metrics;
    }

    /// Ends what this part runs.
    ///
    /// # Errors
    /// What could not be ended.
    async fn shutdown(&self) -> Result<(), Error> {
        Ok(())
    }
}

/// A part that may not be there.
#[async_trait]
impl<A: Attached> Attached for Option<A> {
    fn capabilities(&self, capabilities: &mut ModuleCapabilities) {
        if let Some(part) = self {
            part.capabilities(capabilities);
        }
    }

    fn health(&self) -> Health {
        self.as_ref().map_or_else(Health::ready, A::health)
    }

    fn metrics(&self, metrics: &mut MetricsData) {
        if let Some(part) = self {
            part.metrics(metrics);
        }
    }

    async fn shutdown(&self) -> Result<(), Error> {
        match self {
            Some(part) => part.shutdown().await,
            None => Ok(()),
        }
    }
}
