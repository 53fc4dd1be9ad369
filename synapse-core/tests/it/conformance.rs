//! The suite passes what is right and names what is wrong.

use std::{sync::Arc, time::Duration};

use synapse_core::{
    Body, Delta, Error, FinishReason, Health, InferenceModule, Input, MetricsData, ModelInfo,
    ModuleCapabilities, ModuleExt, Output, Task, async_trait, from_fn,
    layers::{ConcurrencyLayer, DeadlineLayer},
    testkit::{Conformance, Echo, Outcome, Report, Scripted, conformance, conformance_of_wrapper},
};
use tower::{ServiceBuilder, limit::ConcurrencyLimitLayer, load_shed::LoadShedLayer};

use crate::broken::{self, Broken};

/// The module of the documentation of `InferenceModule`.
struct Shout;

#[async_trait]
impl InferenceModule for Shout {
    async fn initialize(&self) -> Result<(), Error> {
        Ok(())
    }
    async fn health_check(&self) -> Result<Health, Error> {
        Ok(Health::ready())
    }
    fn get_capabilities(&self) -> ModuleCapabilities {
        ModuleCapabilities::new("shout")
            .with_task(Task::CHAT)
            .with_model(ModelInfo::new("shout"))
    }
    async fn run_inference(&self, input: Input) -> Result<Output, Error> {
        self.get_capabilities().check_input(&input)?;
        let request = input.request()?;
        let said = request
            .messages()
            .last()
            .and_then(|message| message.content.text());
        let loud = said.unwrap_or_default().to_uppercase();
        Ok(Output::new(Body::from_deltas([
            Delta::text(loud),
            Delta::finish(FinishReason::Stop),
        ])))
    }
    fn get_metrics(&self) -> MetricsData {
        MetricsData::default()
    }
}

fn scripted() -> Scripted {
    Scripted::new(|input| async move {
        let claims = ModuleCapabilities::new("scripted")
            .with_task(Task::CHAT)
            .with_model(ModelInfo::new("scripted"));
        claims.check_input(&input)?;
        Ok(Output::new(Body::from_deltas([
            Delta::text("yes"),
            Delta::finish(FinishReason::Stop),
        ])))
    })
}

fn layers() -> impl tower::Layer<synapse_core::ModuleService<Echo>, Service: synapse_core::InferenceService> {
    ServiceBuilder::new()
        .layer(DeadlineLayer::new(Duration::from_secs(5)))
        .layer(from_fn(|input, next| async move { next.run(input).await }))
        .layer(LoadShedLayer::new())
        .layer(ConcurrencyLimitLayer::new(16))
}

#[tokio::test(start_paused = true)]
async fn passes_what_keeps_the_contract() {
    conformance(Echo::new()).await.assert();
    conformance(Shout).await.assert();
    conformance(scripted()).await.assert();
    conformance(Broken::honest()).await.assert();
    conformance(Arc::new(Echo::new())).await.assert();
    conformance(Box::new(Echo::new()) as Box<dyn InferenceModule>)
        .await
        .assert();
    conformance(Arc::new(Shout) as Arc<dyn InferenceModule>)
        .await
        .assert();
    let limit = ConcurrencyLayer::new(4);
    let stack = Echo::new().with(layers()).with(limit.clone()).attach(limit);
    conformance(stack.clone()).await.assert();
    conformance(Arc::new(stack)).await.assert();
}

#[tokio::test]
async fn passes_on_a_real_clock_too() {
    conformance(Echo::new().with(layers())).await.assert();
}

#[tokio::test(start_paused = true)]
async fn names_what_is_broken() {
    check(broken::lies_about_streaming(), "streams_as_it_is_made").await;
    check(broken::leaks_its_slot_early(), "survives_cancel_before_the_head").await;
    check(broken::leaks_its_slot_mid_stream(), "survives_cancel_mid_stream").await;
    check(broken::panics_at_once(), "never_panics").await;
    check(broken::panics_at_once(), "answers_chat").await;
    check(broken::panics_in_the_body(), "never_panics").await;
    check(broken::panics_in_the_body(), "ends_with_its_last_chunk").await;
    check(broken::ready_without_a_model(), "ready_only_with_a_model").await;
    check(broken::error_as_first_chunk(), "fails_before_the_first_chunk").await;
    check(broken::stops_without_a_last_chunk(), "ends_with_its_last_chunk").await;
    check(broken::never_answers(), "answers_chat").await;
    check(broken::changing_capabilities(), "capabilities_are_stable").await;
    check(broken::accepts_any_model(), "refuses_unknown_models").await;
    check(broken::accepts_any_task(), "refuses_undeclared_tasks").await;
    check(broken::resolves_before_content(), "head_waits_for_content").await;
    check(broken::goes_on_after_the_last(), "nothing_follows_the_last_chunk").await;
    check(broken::initializes_once(), "initialize_is_idempotent").await;
    check(broken::shuts_down_once(), "shutdown_is_idempotent").await;
    check(broken::hangs_after_shutdown(), "ends_requests_after_shutdown").await;
    check(broken::falling_counters(), "counters_only_grow").await;
    check(broken::odd_metric_names(), "metrics_are_named").await;
    check(broken::empty_answers(), "answers_chat").await;
    check(broken::falling_usage(), "claims_sane_usage").await;
    check(broken::serves_one_at_a_time(), "answers_two_at_once").await;
    check(broken::one_vector_for_all(), "embeds_equal_texts_equally").await;
}

async fn check(module: impl InferenceModule, name: &str) {
    let report = conformance(module).await;
    assert_failed(&report, name);
}

fn assert_failed(report: &Report, name: &str) {
    let outcome = report.outcome(name);
    assert!(
        matches!(outcome, Some(Outcome::Failed { .. })),
        "{name} came out {outcome:?} in\n{report}"
    );
}

/// A flaw is not blamed on what has nothing to do with it.
#[tokio::test(start_paused = true)]
async fn blames_only_what_is_broken() {
    let blamed = async |module: Broken| {
        let report = conformance(module).await;
        report
            .failures()
            .map(|check| check.name().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        blamed(broken::lies_about_streaming()).await,
        ["streams_as_it_is_made"]
    );
    assert_eq!(
        blamed(broken::changing_capabilities()).await,
        ["capabilities_are_stable"]
    );
    assert_eq!(blamed(broken::falling_counters()).await, ["counters_only_grow"]);
    assert_eq!(
        blamed(broken::accepts_any_model()).await,
        ["refuses_unknown_models"]
    );
    assert_eq!(
        blamed(broken::initializes_once()).await,
        ["initialize_is_idempotent"]
    );
    assert_eq!(
        blamed(broken::ready_without_a_model()).await,
        ["ready_only_with_a_model"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_failed_report_says_what_to_do() {
    let report = Conformance::new()
        .timeout(Duration::from_secs(3))
        .prompt("Count to two.")
        .model("broken")
        .run(broken::never_answers())
        .await;
    let text = report.to_string();
    for part in [
        "conformance of broken 0.1.0: ",
        "FAILED       answers_chat\n    expected:  an answer with text",
        "seen:      nothing within 3s",
        "to do:     answer, or return an error, in time",
    ] {
        assert!(text.contains(part), "{part:?} is missing in\n{text}");
    }
    let panic = std::panic::catch_unwind(|| report.assert()).unwrap_err();
    assert_eq!(panic.downcast_ref::<String>(), Some(&text));
}

#[tokio::test(start_paused = true)]
async fn passes_wrappers_that_forward() {
    conformance_of_wrapper(Arc::new).await.assert();
    conformance_of_wrapper(|inner| Box::new(inner) as Box<dyn InferenceModule>)
        .await
        .assert();
    let limit = ConcurrencyLayer::new(4);
    conformance_of_wrapper(|inner| inner.with(limit.clone()).attach(limit.clone()))
        .await
        .assert();
    conformance_of_wrapper(|inner| Arc::new(Arc::new(inner.with(limit.clone())).with(limit.clone())))
        .await
        .assert();
}

#[tokio::test(start_paused = true)]
async fn names_what_a_wrapper_loses() {
    assert_failed(
        &conformance_of_wrapper(broken::NeverShutdown).await,
        "forwards_shutdown",
    );
    assert_failed(
        &conformance_of_wrapper(broken::NeitherInitialize).await,
        "forwards_initialize",
    );
    let report = conformance_of_wrapper(broken::SwallowsErrors).await;
    assert_failed(&report, "reports_bad_health");
    assert_failed(&report, "reports_failed_initialize");
    assert_failed(&report, "reports_failed_shutdown");
    let report = conformance_of_wrapper(|inner| broken::Spawning(Arc::new(inner))).await;
    assert_failed(&report, "passes_on_cancellation");
}
