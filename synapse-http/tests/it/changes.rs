//! An endpoint that serves something else after a while.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use synapse_core::{
    Error, Health, InferenceModule, Input, MetricsData, ModelInfo, ModuleCapabilities, Output, Task,
    async_trait,
};
use synapse_http::{OpenAiModule, router};
use tokio::time::sleep;

use super::server::start;

#[derive(Clone)]
struct Changing(Arc<Mutex<&'static str>>);

#[async_trait]
impl InferenceModule for Changing {
    async fn initialize(&self) -> Result<(), Error> {
        Ok(())
    }

    async fn health_check(&self) -> Result<Health, Error> {
        Ok(Health::ready())
    }

    fn get_capabilities(&self) -> ModuleCapabilities {
        ModuleCapabilities::new("changing")
            .with_task(Task::CHAT)
            .with_model(ModelInfo::new(*self.0.lock().unwrap()).with_context_length(512))
    }

    async fn run_inference(&self, _: Input) -> Result<Output, Error> {
        Err(Error::internal("unused", "nobody asks"))
    }

    fn get_metrics(&self) -> MetricsData {
        MetricsData::default()
    }
}

#[tokio::test]
async fn a_health_check_hears_that_an_endpoint_serves_something_else() {
    let engine = Changing(Arc::new(Mutex::new("one")));
    let server = start(router(engine.clone())).await;
    let module = OpenAiModule::connect(&format!("http://{}", server.address))
        .await
        .unwrap();
    let served = || module.get_capabilities().models[0].id.clone();
    assert_eq!(served(), "one");
    *engine.0.lock().unwrap() = "two";
    // What was heard a second ago holds.
    assert!(module.health_check().await.unwrap().is_serving());
    assert_eq!(served(), "one");
    tokio::time::pause();
    sleep(Duration::from_secs(2)).await;
    tokio::time::resume();
    assert!(module.health_check().await.unwrap().is_serving());
    assert_eq!(served(), "two");
}
