//! A module behind layers is a module.

use std::sync::Arc;

use synapse_core::{
    Attached, Error, Health, HealthStatus, InferenceModule, Input, MetricsData, ModuleCapabilities,
    ModuleExt, Output, async_trait, from_fn,
    testkit::{Echo, Scripted},
};

use crate::fakes::{Log, ask, failure};

/// A part that notes what it is asked, and says what it is told to.
struct Part {
    name: &'static str,
    health: fn() -> Health,
    ends: Result<(), Error>,
    log: Log,
}

impl Part {
    fn new(name: &'static str, log: &Log) -> Self {
        Self {
            name,
            health: Health::ready,
            ends: Ok(()),
            log: log.clone(),
        }
    }
}

#[async_trait]
impl Attached for Part {
    fn capabilities(&self, capabilities: &mut ModuleCapabilities) {
        capabilities.concurrency = Some(capabilities.concurrency.unwrap_or(0) + 1);
    }

    fn health(&self) -> Health {
        (self.health)()
    }

    fn metrics(&self, metrics: &mut MetricsData) {
        metrics.counter("parts", 1);
    }

    async fn shutdown(&self) -> Result<(), Error> {
        self.log.note(self.name);
        self.ends.clone()
    }
}

/// A module that notes its beginning and its end.
struct Noting(Log);

#[async_trait]
impl InferenceModule for Noting {
    async fn initialize(&self) -> Result<(), Error> {
        self.0.note("initialize");
        Ok(())
    }
    async fn health_check(&self) -> Result<Health, Error> {
        Ok(Health::degraded("the module"))
    }
    fn get_capabilities(&self) -> ModuleCapabilities {
        ModuleCapabilities::new("noting")
    }
    async fn run_inference(&self, _: Input) -> Result<Output, Error> {
        Err(failure("nothing"))
    }
    fn get_metrics(&self) -> MetricsData {
        let mut metrics = MetricsData::default();
        metrics.counter("parts", 1);
        metrics
    }
    async fn shutdown(&self) -> Result<(), Error> {
        self.0.note("module");
        Err(failure("module"))
    }
}

fn pass()
-> impl Clone + tower::Layer<synapse_core::ModuleService<Noting>, Service: synapse_core::InferenceService> {
    from_fn(|input, next| async move { next.run(input).await })
}

#[tokio::test]
async fn parts_add_up_and_the_worst_health_wins() {
    let log = Log::default();
    let worst = Part {
        health: || Health::unhealthy("the second part"),
        ..Part::new("2", &log)
    };
    let stack = Noting(log.clone())
        .with(pass())
        .attach(Part::new("1", &log))
        .attach(worst);
    let health = stack.health_check().await.unwrap();
    assert_eq!(
        (health.status(), health.reason()),
        (HealthStatus::Unhealthy, Some("the second part"))
    );
    assert_eq!(stack.get_metrics().get("parts", &[]), Some(3.0));
    assert_eq!(stack.get_capabilities().concurrency, Some(2));
}

#[tokio::test]
async fn shutdown_runs_outer_to_inner_whatever_fails() {
    let log = Log::default();
    let failing = Part {
        ends: Err(failure("first")),
        ..Part::new("outer", &log)
    };
    let stack = Noting(log.clone())
        .with(pass())
        .attach(failing)
        .attach(Part::new("inner", &log));
    stack.initialize().await.unwrap();
    assert_eq!(
        stack.shutdown().await.unwrap_err().code(),
        "first",
        "the first error comes out"
    );
    assert_eq!(log.lines(), ["initialize", "outer", "inner", "module"]);
}

#[tokio::test]
async fn a_stack_in_a_stack_is_ended_outside_in_through_pointers() {
    let log = Log::default();
    let inner = Noting(log.clone()).with(pass()).attach(Part::new("inner", &log));
    let middle: Arc<dyn InferenceModule> = Arc::new(Arc::new(inner));
    let outer = middle
        .with(from_fn(|input, next| async move { next.run(input).await }))
        .attach(Part::new("outer", &log));
    outer.initialize().await.unwrap();
    assert_eq!(outer.get_metrics().get("parts", &[]), Some(3.0));
    assert_eq!(outer.shutdown().await.unwrap_err().code(), "module");
    assert_eq!(log.lines(), ["initialize", "outer", "inner", "module"]);
}

#[tokio::test]
async fn a_panic_is_an_error_of_the_call_and_the_stack_lives() {
    let calls = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let module = Scripted::new(move |input| {
        let first = calls.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == 0;
        assert!(!first, "a fault injected before there is a future");
        async move { Echo::named("scripted").run_inference(input).await }
    });
    let stack = module.with(from_fn(|input, next| async move { next.run(input).await }));
    assert_eq!(
        stack.run_inference(ask()).await.unwrap_err().code(),
        "module_panicked"
    );
    assert!(
        stack.clone().run_inference(ask()).await.is_ok(),
        "a clone is the same stack"
    );
}

#[tokio::test]
async fn a_module_as_a_service_survives_a_panic_too() {
    use tower::ServiceExt;
    let service = Scripted::new(|_| -> std::future::Ready<_> { panic!("a fault injected") }).into_service();
    assert_eq!(
        service.oneshot(ask()).await.unwrap_err().code(),
        "module_panicked"
    );
}
