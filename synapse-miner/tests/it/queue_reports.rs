//! What a queue says of itself.

use std::time::Duration;

use futures_util::FutureExt;
use synapse_core::{ErrorKind, HealthStatus, InferenceModule};
use synapse_miner::QueueLayer;
use tokio::time::{Instant, advance, timeout};

use crate::engine::{Engine, ask, ask_until, whole};

#[tokio::test(start_paused = true)]
async fn health_is_degraded_from_nine_tenths_full_and_since_then() {
    let (engine, queue) = (Engine::default(), QueueLayer::bounded(10));
    let module = engine.behind(&queue);
    let health = async || module.health_check().await.unwrap();
    let mut calls: Vec<_> = (0..9).map(|_| module.run_inference(ask("a"))).collect();
    for call in &mut calls {
        assert!(call.now_or_never().is_none());
    }
    assert_eq!(
        (queue.waiting(), health().await.status()),
        (8, HealthStatus::Ready)
    );
    let since = Instant::now();
    let mut ninth = module.run_inference(ask("a"));
    assert!((&mut ninth).now_or_never().is_none());
    advance(Duration::from_secs(1)).await;
    let crowded = health().await;
    assert_eq!(crowded.reason(), Some("9 of 10 positions in the queue are taken"));
    assert_eq!(
        (crowded.status(), crowded.since_instant()),
        (HealthStatus::Degraded, since)
    );
    drop(ninth);
    assert_eq!(health().await.status(), HealthStatus::Ready);
}

#[tokio::test(start_paused = true)]
async fn metrics_count_what_happened() {
    let (engine, queue) = (Engine::default(), QueueLayer::bounded(2));
    let module = engine.behind(&queue);
    let second = Duration::from_secs(1);
    tokio::join!(
        async { whole(&module, ask("a 4")).await.unwrap() },
        async { whole(&module, ask("b 4")).await.unwrap() },
        async { whole(&module, ask_until("late", second)).await.unwrap_err() },
        async { whole(&module, ask("too many")).await.unwrap_err() },
    );
    tokio::join!(async { whole(&module, ask("c 4")).await.unwrap() }, async {
        timeout(second, module.run_inference(ask("leaves")))
            .await
            .unwrap_err()
    },);
    let metrics = module.get_metrics();
    let get = |name: &str, labels: &[(&str, &str)]| metrics.get(name, labels).unwrap();
    assert_eq!(get("queue.admitted", &[]), 3.0);
    assert_eq!(get("queue.waited_seconds_sum", &[]), 4.0);
    assert_eq!(get("queue.abandoned", &[]), 1.0);
    assert_eq!(get("queue.refused", &[("reason", "deadline")]), 1.0);
    assert_eq!(get("queue.refused", &[("reason", "full")]), 1.0);
    assert_eq!(get("queue.refused", &[("reason", "closed")]), 0.0);
    assert_eq!(
        (get("queue.waiting", &[]), get("queue.in_flight", &[])),
        (0.0, 0.0)
    );
}

#[tokio::test(start_paused = true)]
async fn shutdown_sends_the_line_away_and_lets_what_runs_end() {
    let (engine, queue) = (Engine::default(), QueueLayer::bounded(4));
    let module = engine.behind(&queue);
    let end = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        module.shutdown().await.unwrap();
        module.shutdown().await.unwrap();
        let error = module.run_inference(ask("late")).await.unwrap_err();
        assert_eq!(
            (error.kind(), error.code()),
            (ErrorKind::Unavailable, "queue_closed")
        );
    };
    let (first, second, ()) = tokio::join!(whole(&module, ask("a 4")), whole(&module, ask("b 4")), end);
    assert_eq!((first, second), (Ok(()), Err("queue_closed".to_owned())));
    assert_eq!((queue.waiting(), queue.in_flight()), (0, 0));
    assert_eq!(
        module.get_metrics().get("queue.refused", &[("reason", "closed")]),
        Some(2.0)
    );
}

#[test]
fn a_stack_claims_what_its_queue_lets_through() {
    let queue = QueueLayer::bounded(4).concurrency(3);
    let module = Engine::default().behind(&queue);
    assert_eq!(module.get_capabilities().concurrency, Some(3));
    let shown = format!("{queue:?}");
    assert!(
        shown.contains("bound: 4") && shown.contains("concurrency: 3"),
        "{shown}"
    );
}

#[test]
fn places_that_are_set_as_things_go_are_no_claim_and_no_claim_sets_them_back() {
    let claims = |concurrency| {
        let mut claims = synapse_core::ModuleCapabilities::new("scripted");
        claims.concurrency = concurrency;
        claims
    };
    let check = |queue: QueueLayer, module: Option<u32>, expect: Option<u32>| {
        queue.set_places(3);
        let mut claimed = claims(module);
        synapse_core::Attached::capabilities(&queue, &mut claimed);
        assert_eq!((claimed.concurrency, queue.status().places), (expect, 3));
    };
    check(QueueLayer::bounded(4), Some(8), Some(8));
    check(QueueLayer::bounded(4), None, None);
    check(QueueLayer::bounded(4).concurrency(2), Some(8), Some(8));
}
