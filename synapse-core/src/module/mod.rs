//! The contract: everything that answers is a module.

mod attached;
mod capabilities;
mod capacity;
#[cfg(feature = "digest")]
mod digest;
mod health;
mod metrics;
mod service;
mod stack;

use std::sync::Arc;

use async_trait::async_trait;

pub use self::{
    attached::Attached,
    capabilities::{INTERFACE, ModelInfo, ModuleCapabilities, ResourceSpec},
    capacity::Capacity,
    health::{Health, HealthStatus},
    metrics::{Metric, MetricKind, MetricsData},
    service::{InferenceService, ModuleExt, ModuleService},
    stack::Stack,
};
use crate::{Error, Input, Output};

/// Anything that answers inference requests: an engine, a remote endpoint, a pool of miners, or one of these wrapped in
/// tower layers.
///
/// Whoever runs a module owns its order: [`initialize`](Self::initialize) → requests → drain →
/// [`shutdown`](Self::shutdown). Wrappers forward all six methods.
///
/// ```
/// use synapse_core::{async_trait, Body, Delta, Error, FinishReason, Health, InferenceModule, Input, MetricsData,
///     ModelInfo, ModuleCapabilities, Output, Task};
///
/// /// Answers with the last message, louder.
/// #[derive(Debug)]
/// struct Shout;
///
/// #[async_trait]
/// impl InferenceModule for Shout {
///     async fn initialize(&self) -> Result<(), Error> {
///         Ok(())
///     }
///     async fn health_check(&self) -> Result<Health, Error> {
///         Ok(Health::ready())
///     }
///     fn get_capabilities(&self) -> ModuleCapabilities {
///         ModuleCapabilities::new("shout").with_task(Task::CHAT).with_model(ModelInfo::new("shout"))
///     }
///     async fn run_inference(&self, input: Input) -> Result<Output, Error> {
///         self.get_capabilities().check_input(&input)?;
///         let request = input.request()?;
///         let said = request.messages().last().and_then(|message| message.content.text());
///         let loud = said.unwrap_or_default().to_uppercase();
///         Ok(Output::new(Body::from_deltas([Delta::text(loud), Delta::finish(FinishReason::Stop)])))
///     }
///     fn get_metrics(&self) -> MetricsData {
///         MetricsData::default()
///     }
/// }
/// ```
#[async_trait]
pub trait InferenceModule: Send + Sync + 'static {
    /// Makes it able to answer: loads a model, connects, starts what it owns. Idempotent.
    ///
    /// # Errors
    /// Why it cannot answer, and what to do about it. It may be called again.
    async fn initialize(&self) -> Result<(), Error>;

    /// How it is now. Cheap, and never waits on a request. Zero loaded models is not ready.
    ///
    /// # Errors
    /// Where it cannot even tell.
    async fn health_check(&self) -> Result<Health, Error>;

    /// What it can do. What it claims here is what it serves.
    fn get_capabilities(&self) -> ModuleCapabilities;

    /// Answers one request.
    ///
    /// Resolves at the first content, tool call or end of the reply; what comes before that (a role) is held and sent
    /// with it. So a failure before any content is an `Err` of this call, and callers fail over on a plain `Result`.
    /// Dropping the future, or the output, cancels the work.
    ///
    /// # Errors
    /// Whatever prevented the first content.
    async fn run_inference(&self, input: Input) -> Result<Output, Error>;

    /// What it counted so far. Cheap.
    fn get_metrics(&self) -> MetricsData;

    /// Gives back what it holds. Called once nobody asks any more; idempotent.
    ///
    /// # Errors
    /// What could not be given back.
    async fn shutdown(&self) -> Result<(), Error> {
        Ok(())
    }
}

macro_rules! forward {
    ($pointer:ty) => {
        #[async_trait]
        impl<M: InferenceModule + ?Sized> InferenceModule for $pointer {
            async fn initialize(&self) -> Result<(), Error> {
                (**self).initialize().await
            }
            async fn health_check(&self) -> Result<Health, Error> {
                (**self).health_check().await
            }
            fn get_capabilities(&self) -> ModuleCapabilities {
                (**self).get_capabilities()
            }
            async fn run_inference(&self, input: Input) -> Result<Output, Error> {
                (**self).run_inference(input).await
            }
            fn get_metrics(&self) -> MetricsData {
                (**self).get_metrics()
            }
            async fn shutdown(&self) -> Result<(), Error> {
                (**self).shutdown().await
            }
        }
    };
}

forward!(Arc<M>);
forward!(Box<M>);
