//! When an engine that fails is left alone, and when it is tried again.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::{FutureExt, StreamExt};
use synapse_core::{
    Body, Chunk, Delta, Error, ErrorKind, HealthStatus, InferenceModule, ModuleExt, Output, Retry,
    testkit::{Echo, Scripted, conformance, conformance_of_wrapper},
};
use synapse_miner::CircuitBreakerLayer;
use tokio::time::{Instant, advance, sleep};

use crate::engine::{ask, whole};

/// What the engine does next, and how often it was asked.
#[derive(Debug, Clone, Default)]
struct Plan(Arc<Mutex<(Mood, usize)>>);

#[derive(Debug, Clone, Copy, Default)]
enum Mood {
    #[default]
    Well,
    Fails,
    Breaks,
    Hangs,
    Refuses,
    AsksForPatience,
    Blames,
    Panics,
}

impl Plan {
    fn set(&self, mood: Mood) {
        self.0.lock().unwrap().0 = mood;
    }

    fn asked(&self) -> usize {
        self.0.lock().unwrap().1
    }

    /// A fake engine that injects these faults, behind `breaker`.
    fn behind(&self, breaker: &CircuitBreakerLayer) -> impl InferenceModule + Clone {
        let plan = self.clone();
        let engine = Scripted::new(move |_| {
            let mood = {
                let mut plan = plan.0.lock().unwrap();
                plan.1 += 1;
                plan.0
            };
            async move {
                let deltas = [Delta::text("one "), Delta::text("two")];
                match mood {
                    Mood::Well => Ok(Output::new(Body::from_deltas(deltas))),
                    Mood::Fails => Err(Error::unavailable(
                        "engine_down",
                        "a fault injected into an engine",
                    )),
                    Mood::Breaks => {
                        let cut = Error::broken("cut", "a fault injected into a body");
                        let chunks = [Ok(Chunk::delta(Delta::text("one "))), Err(cut)];
                        Ok(Output::new(Body::new(futures_util::stream::iter(chunks))))
                    }
                    Mood::Hangs => std::future::pending().await,
                    Mood::Refuses => Err(Error::new(ErrorKind::Overloaded, "busy", "no room")),
                    Mood::AsksForPatience => {
                        let loading = Error::unavailable("model_loading", "the model is loading");
                        Err(loading.with_retry(Retry::After(Duration::from_secs(2))))
                    }
                    Mood::Blames => Err(Error::invalid("bad", "the caller's own fault")),
                    Mood::Panics => panic!("a fault injected into an engine"),
                }
            }
        });
        engine.with(breaker.clone()).attach(breaker.clone())
    }
}

async fn ask_times(module: &impl InferenceModule, times: usize) -> Vec<String> {
    let mut codes = Vec::new();
    for _ in 0..times {
        codes.push(whole(module, ask("a")).await.err().unwrap_or_default());
    }
    codes
}

#[tokio::test(start_paused = true)]
async fn failures_in_a_row_open_it_and_nobody_else_reaches_the_engine() {
    for (mood, code) in [
        (Mood::Fails, "engine_down"),
        (Mood::Breaks, "cut"),
        (Mood::Panics, "module_panicked"),
    ] {
        let (plan, breaker) = (Plan::default(), CircuitBreakerLayer::default());
        let module = plan.behind(&breaker);
        plan.set(mood);
        assert_eq!(ask_times(&module, 5).await, [code; 5]);
        assert!(breaker.is_open());
        let error = module.run_inference(ask("a")).await.unwrap_err();
        assert_eq!(
            (error.kind(), error.code()),
            (ErrorKind::Unavailable, "circuit_open")
        );
        assert_eq!(
            (error.retry(), error.retry_after()),
            (Retry::Elsewhere, Some(Duration::from_secs(1)))
        );
        assert!(error.to_string().contains(code), "{error}");
        assert_eq!(plan.asked(), 5);
    }
}

#[tokio::test(start_paused = true)]
async fn refusals_and_callers_who_left_never_open_it() {
    let (plan, breaker) = (Plan::default(), CircuitBreakerLayer::default());
    let module = plan.behind(&breaker);
    for mood in [Mood::Refuses, Mood::AsksForPatience, Mood::Blames] {
        plan.set(mood);
        ask_times(&module, 100).await;
        assert!(!breaker.is_open(), "{mood:?}");
    }
    plan.set(Mood::Hangs);
    for _ in 0..100 {
        assert!(module.run_inference(ask("leaves")).now_or_never().is_none());
    }
    plan.set(Mood::Well);
    for _ in 0..100 {
        let mut output = module.run_inference(ask("leaves later")).await.unwrap();
        output.body.next().await.unwrap().unwrap();
    }
    assert!(!breaker.is_open());
    assert_eq!(module.get_metrics().get("breaker.failures", &[]), Some(0.0));
    // Nor do they hide failures: those in a row are still in a row.
    for _ in 0..5 {
        plan.set(Mood::Fails);
        ask_times(&module, 1).await;
        plan.set(Mood::Blames);
        ask_times(&module, 1).await;
    }
    assert!(breaker.is_open());
}

#[tokio::test(start_paused = true)]
async fn half_of_the_endings_open_it_where_there_are_enough() {
    let (plan, breaker) = (Plan::default(), CircuitBreakerLayer::default());
    let module = plan.behind(&breaker);
    for round in 0..10 {
        assert!(!breaker.is_open(), "{round}");
        plan.set(Mood::Well);
        ask_times(&module, 1).await;
        plan.set(Mood::Fails);
        ask_times(&module, 1).await;
    }
    assert!(breaker.is_open(), "10 of 20");
    // The same over a longer time are too few in the window.
    let slow = CircuitBreakerLayer::default();
    let module = plan.behind(&slow);
    for _ in 0..20 {
        plan.set(Mood::Well);
        ask_times(&module, 1).await;
        plan.set(Mood::Fails);
        ask_times(&module, 1).await;
        advance(Duration::from_secs(4)).await;
    }
    assert!(!slow.is_open());
}

#[tokio::test(start_paused = true)]
async fn one_request_at_a_time_tries_it_and_each_failure_doubles_the_wait() {
    let (plan, breaker) = (Plan::default(), CircuitBreakerLayer::default());
    let module = plan.behind(&breaker);
    plan.set(Mood::Fails);
    ask_times(&module, 5).await;
    for wait in [1, 2, 4, 5, 5] {
        advance(Duration::from_secs(wait) - Duration::from_millis(1)).await;
        assert_eq!(ask_times(&module, 1).await, ["circuit_open"], "{wait}");
        advance(Duration::from_millis(1)).await;
        assert_eq!(
            ask_times(&module, 2).await,
            ["engine_down", "circuit_open"],
            "{wait}"
        );
    }
    advance(Duration::from_secs(5)).await;
    plan.set(Mood::Hangs);
    let mut tries = module.run_inference(ask("tries"));
    assert!((&mut tries).now_or_never().is_none());
    let asked = plan.asked();
    assert_eq!(ask_times(&module, 3).await, ["circuit_open"; 3]);
    assert_eq!(plan.asked(), asked, "one at a time");
    drop(tries);
    plan.set(Mood::Refuses);
    assert_eq!(
        ask_times(&module, 2).await,
        ["busy"; 2],
        "who left or was refused makes room for the next try"
    );
    plan.set(Mood::Well);
    assert_eq!(ask_times(&module, 3).await, [""; 3]);
    plan.set(Mood::Fails);
    assert_eq!(
        ask_times(&module, 6).await[4..],
        ["engine_down", "circuit_open"],
        "as many as at first"
    );
    advance(Duration::from_secs(1)).await;
    assert_eq!(ask_times(&module, 1).await, ["engine_down"], "and as long");
}

#[tokio::test(start_paused = true)]
async fn a_reply_that_breaks_on_trial_opens_it_at_once() {
    let (plan, breaker) = (Plan::default(), CircuitBreakerLayer::default());
    let module = plan.behind(&breaker);
    plan.set(Mood::Fails);
    ask_times(&module, 5).await;
    advance(Duration::from_secs(1)).await;
    plan.set(Mood::Breaks);
    assert_eq!(ask_times(&module, 2).await, ["cut", "circuit_open"]);
}

#[tokio::test(start_paused = true)]
async fn what_began_before_it_opened_says_nothing_any_more() {
    let (plan, breaker) = (Plan::default(), CircuitBreakerLayer::default());
    let module = plan.behind(&breaker);
    let mut early = module.run_inference(ask("early")).await.unwrap();
    plan.set(Mood::Fails);
    ask_times(&module, 5).await;
    while early.body.next().await.is_some() {}
    assert!(breaker.is_open());
}

#[tokio::test(start_paused = true)]
async fn health_shows_it_and_lets_it_be_tried() {
    let (plan, breaker) = (Plan::default(), CircuitBreakerLayer::default());
    let module = plan.behind(&breaker);
    let start = Instant::now();
    plan.set(Mood::Fails);
    ask_times(&module, 5).await;
    let health = module.health_check().await.unwrap();
    assert_eq!(
        (health.status(), health.since_instant()),
        (HealthStatus::Unhealthy, start)
    );
    assert!(health.reason().unwrap().contains("engine_down"));
    assert_eq!(health.capacity().unwrap().slots, Some(0));
    let state = |module: &dyn InferenceModule| module.get_metrics().get("breaker.state", &[]).unwrap();
    assert_eq!(state(&module), 2.0);
    sleep(Duration::from_secs(1)).await;
    let health = module.health_check().await.unwrap();
    assert_eq!(
        health.status(),
        HealthStatus::Degraded,
        "asked for nothing it would stay open"
    );
    assert_eq!(
        (health.capacity().unwrap().free(), state(&module)),
        (Some(1), 1.0)
    );
    plan.set(Mood::Well);
    ask_times(&module, 1).await;
    assert_eq!(module.health_check().await.unwrap().status(), HealthStatus::Ready);
    assert_eq!(module.get_metrics().get("breaker.opened", &[]), Some(1.0));
}

/// A miner takes back what it claims once it has not been well for a minute: one failure after a quiet hour is no such minute.
#[tokio::test(start_paused = true)]
async fn what_fails_after_a_quiet_while_has_not_failed_since_before_it() {
    let (plan, breaker) = (Plan::default(), CircuitBreakerLayer::default());
    let module = plan.behind(&breaker);
    plan.set(Mood::Fails);
    ask_times(&module, 5).await;
    advance(Duration::from_secs(3600)).await;
    let again = Instant::now();
    assert_eq!(ask_times(&module, 1).await, ["engine_down"]);
    let health = module.health_check().await.unwrap();
    assert_eq!(
        (health.status(), health.since_instant()),
        (HealthStatus::Unhealthy, again)
    );
    // While it is tried time and again it is as long as it fails.
    for _ in 0..90 {
        advance(Duration::from_secs(1)).await;
        ask_times(&module, 1).await;
    }
    let health = module.health_check().await.unwrap();
    assert_eq!(health.since_instant(), again);
    // A try that says nothing does not make the quiet before it a failure either.
    advance(Duration::from_secs(10)).await;
    plan.set(Mood::Blames);
    ask_times(&module, 1).await;
    advance(Duration::from_secs(3600)).await;
    let later = Instant::now();
    plan.set(Mood::Fails);
    assert_eq!(ask_times(&module, 1).await, ["engine_down"]);
    assert_eq!(module.health_check().await.unwrap().since_instant(), later);
    // One that is well again in between begins anew, too.
    advance(Duration::from_secs(5)).await;
    plan.set(Mood::Well);
    ask_times(&module, 1).await;
    plan.set(Mood::Fails);
    let now = Instant::now();
    ask_times(&module, 5).await;
    assert_eq!(module.health_check().await.unwrap().since_instant(), now);
}

#[tokio::test(start_paused = true)]
async fn a_module_behind_a_breaker_keeps_the_contract() {
    let breaker = CircuitBreakerLayer::default();
    conformance(Echo::new().with(breaker.clone()).attach(breaker))
        .await
        .assert();
    conformance_of_wrapper(|inner| {
        let breaker = CircuitBreakerLayer::default();
        inner.with(breaker.clone()).attach(breaker)
    })
    .await
    .assert();
}

#[tokio::test(start_paused = true)]
async fn one_that_is_to_stay_open_for_good_stays_open_for_a_day() {
    let breaker = CircuitBreakerLayer::default()
        .consecutive(1)
        .backoff(Duration::MAX, Duration::MAX);
    let plan = Plan::default();
    let module = plan.behind(&breaker);
    plan.set(Mood::Fails);
    assert_eq!(ask_times(&module, 2).await, ["engine_down", "circuit_open"]);
    tokio::time::advance(Duration::from_secs(24 * 3600)).await;
    plan.set(Mood::Well);
    assert_eq!(ask_times(&module, 1).await, [""]);
}
