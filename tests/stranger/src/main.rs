//! A stranger's gateway: his own module and layer, two layers of Synapse's, one of tower's.
use std::time::Duration;

use synapse_core::{
    Body, Caller, Delta, Error, FinishReason, Health, InferenceModule, InferenceService, Input, MetricsData,
    Middleware, ModelInfo, ModuleCapabilities, ModuleExt, Next, Output, Task, async_trait, layer,
};
use synapse_validator::{Quota, RateLimitLayer, TraceLayer};
use tower::{ServiceBuilder, timeout::TimeoutLayer};

/// Says everything backwards.
struct Backwards;

#[async_trait]
impl InferenceModule for Backwards {
    async fn initialize(&self) -> Result<(), Error> {
        Ok(())
    }
    async fn health_check(&self) -> Result<Health, Error> {
        Ok(Health::ready())
    }
    fn get_capabilities(&self) -> ModuleCapabilities {
        ModuleCapabilities::new("backwards").with_task(Task::CHAT).with_model(ModelInfo::new("backwards"))
    }
    async fn run_inference(&self, input: Input) -> Result<Output, Error> {
        let request = input.request()?;
        let said = request.messages().last().and_then(|message| message.content.text()).unwrap_or_default();
        let backwards: String = said.chars().rev().collect();
        Ok(Output::new(Body::from_deltas([Delta::text(backwards), Delta::finish(FinishReason::Stop)])))
    }
    fn get_metrics(&self) -> MetricsData {
        MetricsData::default()
    }
}

/// Counts everybody as one household.
struct Household;

impl Middleware for Household {
    async fn handle<S: InferenceService>(&self, mut input: Input, next: Next<S>) -> Result<Output, Error> {
        input.extensions_mut().insert(Caller::new("household"));
        next.run(input).await
    }
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    let trace = TraceLayer::new();
    let module = Backwards
        .with(
            ServiceBuilder::new()
                .layer(layer(Household))
                .layer(trace.clone())
                .layer(RateLimitLayer::per_caller(Quota::requests_per_minute(2)))
                .layer(TimeoutLayer::new(Duration::from_secs(5))),
        )
        .attach(trace);
    let server = synapse_http::Server::bind("127.0.0.1:0").await?;
    server.on_ready(|address| println!("ready http://{address}")).serve(synapse_http::router(module)).await
}
