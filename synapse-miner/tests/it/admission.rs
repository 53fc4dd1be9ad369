//! The limit that is learned, and what is refused. Time is simulated.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use futures_util::FutureExt;
use serde_json::json;
use synapse_core::{
    Attached, ErrorKind, Health, HealthStatus, InferenceModule, ModelInfo, ModuleCapabilities, ModuleExt,
    Retry, Task,
    testkit::{Echo, conformance, conformance_of_wrapper},
};
use synapse_miner::{
    AdmissionLayer, QueueLayer,
    monitor::{ResourceMonitor, Resources},
};
use tokio::time::{Instant, sleep};
use tower::ServiceBuilder;

use crate::paced::{Dice, Tally, paced, request};

const TOKEN: Duration = Duration::from_millis(10);

fn admission() -> AdmissionLayer {
    AdmissionLayer::new(ResourceMonitor::fixed(Resources::default())).memory_headroom(0)
}

/// Sixty-four who ask again as soon as they were answered, for so long; tokens a second.
async fn saturate(module: &(impl InferenceModule + Clone), time: Duration) -> f64 {
    let (tally, start) = (Tally::default(), Instant::now());
    let mut clients = Vec::new();
    for seed in 0..64 {
        let (module, tally, mut dice) = (module.clone(), tally.clone(), Dice::new(seed));
        clients.push(tokio::spawn(async move {
            while start.elapsed() < time {
                tally.ask(&module, "all", request(dice.roll(20, 181))).await;
            }
        }));
    }
    for client in clients {
        client.await.unwrap();
    }
    tally.tokens("all") / start.elapsed().as_secs_f64()
}

/// As fast with six as with one; beyond that every further one costs all of them more than it brings.
fn thrashes(under_way: usize) -> Duration {
    TOKEN.mul_f64((under_way as f64 / 6.0).max(1.0).powf(1.5))
}

#[tokio::test(start_paused = true)]
async fn the_limit_finds_what_the_engine_does_well() {
    let mut best = (0, 0.0);
    for places in [1, 2, 4, 6, 8, 12, 24, 48] {
        let queue = QueueLayer::bounded(128)
            .concurrency(places)
            .max_wait(Duration::MAX);
        let rate = saturate(
            &paced(&Arc::default(), thrashes).with(queue),
            Duration::from_secs(60),
        )
        .await;
        if rate > best.1 {
            best = (places, rate);
        }
    }
    let (admission, queue) = (
        admission(),
        QueueLayer::bounded(128).concurrency(48).max_wait(Duration::MAX),
    );
    let module = paced(&Arc::default(), thrashes).with(
        ServiceBuilder::new()
            .layer(admission.clone())
            .layer(queue.clone()),
    );
    let rate = saturate(&module, Duration::from_secs(600)).await;
    println!(
        "an engine that does 6 well: the best fixed number, {}, gives {:.0} tokens/s; learned, {}, gives {rate:.0}",
        best.0,
        best.1,
        admission.limit()
    );
    assert!((5..=12).contains(&admission.limit()), "{admission:?}");
    assert!(rate >= 0.85 * best.1, "{rate} of {best:?}");
    assert_eq!(queue.status().places, admission.limit());
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_does_them_all_well_is_given_as_many_as_it_has_slots() {
    let admission = admission().ceiling(16);
    let queue = QueueLayer::bounded(128).concurrency(64).max_wait(Duration::MAX);
    let module = paced(&Arc::default(), |_| TOKEN).with(
        ServiceBuilder::new()
            .layer(admission.clone())
            .layer(queue.clone()),
    );
    saturate(&module, Duration::from_secs(120)).await;
    assert_eq!((admission.limit(), queue.status().places), (16, 16));
}

#[tokio::test(start_paused = true)]
async fn a_neighbour_who_takes_the_machine_shrinks_it_until_he_is_gone() {
    let slowness = Arc::new(AtomicU32::new(1));
    let (admission, queue) = (
        admission().ceiling(16),
        QueueLayer::bounded(128).concurrency(64).max_wait(Duration::MAX),
    );
    let slow = slowness.clone();
    let module = paced(&Arc::default(), move |under_way| {
        // What is left of the machine is shared among all who are under way.
        let crowd = u32::try_from(under_way).unwrap_or(u32::MAX);
        TOKEN * if slow.load(SeqCst) > 1 { crowd.max(4) } else { 1 }
    })
    .with(ServiceBuilder::new().layer(admission.clone()).layer(queue));
    saturate(&module, Duration::from_secs(120)).await;
    let before = admission.limit();
    slowness.store(2, SeqCst);
    saturate(&module, Duration::from_secs(120)).await;
    let during = admission.limit();
    slowness.store(1, SeqCst);
    saturate(&module, Duration::from_secs(120)).await;
    println!(
        "before, during and after a neighbour: {before}, {during}, {}",
        admission.limit()
    );
    assert_eq!((before, admission.limit()), (16, 16));
    assert!(during <= 6, "{during}");
}

#[tokio::test(start_paused = true)]
async fn a_slower_model_is_not_held_against_the_engine_for_good() {
    let slowness = Arc::new(AtomicU32::new(1));
    let (admission, queue) = (
        admission().ceiling(8),
        QueueLayer::bounded(128).concurrency(64).max_wait(Duration::MAX),
    );
    let slow = slowness.clone();
    let module = paced(&Arc::default(), move |_| TOKEN * slow.load(SeqCst))
        .with(ServiceBuilder::new().layer(admission.clone()).layer(queue));
    saturate(&module, Duration::from_secs(60)).await;
    slowness.store(4, SeqCst);
    saturate(&module, Duration::from_secs(120)).await;
    let at_first = admission.limit();
    saturate(&module, Duration::from_secs(900)).await;
    println!(
        "after a model four times as slow: {at_first} at first, {} in the end",
        admission.limit()
    );
    assert!(at_first <= 2);
    assert_eq!(admission.limit(), 8);
}

#[tokio::test(start_paused = true)]
async fn without_a_queue_whoever_is_beyond_the_limit_is_refused_at_once() {
    let (admission, running) = (admission().ceiling(2), Arc::<AtomicUsize>::default());
    let module = paced(&running, |_| TOKEN)
        .with(admission.clone())
        .attach(admission.clone());
    let mut held: Vec<_> = (0..2).map(|_| module.run_inference(request(100))).collect();
    for call in &mut held {
        assert!(call.now_or_never().is_none());
    }
    let error = module
        .run_inference(request(100))
        .now_or_never()
        .unwrap()
        .unwrap_err();
    assert_eq!(
        (error.kind(), error.code()),
        (ErrorKind::Overloaded, "concurrency_limit")
    );
    assert_eq!(error.retry(), Retry::After(Duration::from_secs(1)));
    let capacity = module.health_check().await.unwrap().capacity().unwrap();
    assert_eq!((capacity.slots, capacity.busy), (Some(2), 2));
    drop(held);
    assert!(module.run_inference(request(1)).await.is_ok());
    let metrics = module.get_metrics();
    assert_eq!(
        metrics.get("admission.refused", &[("reason", "limit")]),
        Some(1.0)
    );
    assert_eq!(metrics.get("admission.in_flight", &[]), Some(0.0));
}

#[tokio::test(start_paused = true)]
async fn with_a_queue_inside_nobody_is_refused_for_the_limit() {
    let (admission, queue) = (admission().ceiling(2), QueueLayer::bounded(64).concurrency(8));
    let module = paced(&Arc::default(), |_| TOKEN)
        .with(
            ServiceBuilder::new()
                .layer(admission.clone())
                .layer(queue.clone()),
        )
        .attach(admission.clone())
        .attach(queue.clone());
    let tally = Tally::default();
    let all = futures_util::future::join_all((0..20).map(|_| tally.ask(&module, "all", request(100))));
    let watch = async {
        sleep(Duration::from_millis(500)).await;
        let capacity = module.health_check().await.unwrap().capacity().unwrap();
        (capacity.slots, capacity.busy, capacity.waiting)
    };
    let (_, seen) = tokio::join!(all, watch);
    assert_eq!(seen, (Some(2), 2, 18));
    assert_eq!(tally.tokens("all"), 2_000.0);
    assert!(tally.refused().is_empty());
}

#[tokio::test(start_paused = true)]
async fn without_memory_nobody_new_is_admitted() {
    async fn check(resources: Resources, code: &str, reason: &str, health: HealthStatus) {
        let admission = AdmissionLayer::new(ResourceMonitor::fixed(resources))
            .memory_headroom(100)
            .gpu_memory_headroom(1_000);
        let module = paced(&Arc::default(), |_| TOKEN)
            .with(admission.clone())
            .attach(admission);
        let answer = module.run_inference(request(1)).await;
        match answer {
            Ok(_) => assert_eq!(code, ""),
            Err(error) => {
                assert_eq!((error.kind(), error.code()), (ErrorKind::Overloaded, code));
                assert_eq!(
                    (error.retry(), error.retry_after()),
                    (Retry::Elsewhere, Some(Duration::from_secs(5)))
                );
                let refused = module
                    .get_metrics()
                    .get("admission.refused", &[("reason", reason)]);
                assert_eq!(refused, Some(1.0));
            }
        }
        assert_eq!(module.health_check().await.unwrap().status(), health, "{code}");
    }
    let machine = |memory: Option<u64>, gpus: &[u64]| {
        let gpus = gpus.iter().enumerate().map(|(index, free)| {
            json!({"index": index, "name": "a GPU", "memory_total": 10_000, "memory_free": free, "load": null})
        });
        let all = json!({"cpu_cores": null, "cpu_load": null, "memory_total": null, "memory_available": memory,
            "disk_available": null, "gpus": gpus.collect::<Vec<_>>()});
        serde_json::from_value(all).unwrap()
    };
    check(machine(None, &[]), "", "", HealthStatus::Ready).await;
    check(machine(Some(100), &[10, 1_000]), "", "", HealthStatus::Ready).await;
    check(
        machine(Some(99), &[]),
        "memory_low",
        "memory",
        HealthStatus::Degraded,
    )
    .await;
    check(
        machine(Some(100), &[10, 999]),
        "gpu_memory_low",
        "gpu_memory",
        HealthStatus::Degraded,
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_engine_says_how_many_where_nobody_else_does() {
    let claims = || {
        let mut claims = ModuleCapabilities::new("scripted")
            .with_task(Task::CHAT)
            .with_model(ModelInfo::new("scripted"));
        claims.concurrency = Some(3);
        claims
    };
    let (admission, queue) = (admission(), QueueLayer::bounded(8));
    let module = paced(&Arc::default(), |_| TOKEN)
        .with_capabilities(claims())
        .with(
            ServiceBuilder::new()
                .layer(admission.clone())
                .layer(queue.clone()),
        )
        .attach(admission.clone())
        .attach(queue.clone());
    assert_eq!(module.get_capabilities().concurrency, Some(3));
    assert_eq!((admission.limit(), queue.status().places), (3, 3));
}

#[tokio::test(start_paused = true)]
async fn a_module_behind_admission_keeps_the_contract() {
    conformance(Echo::new().with(admission()).attach(admission()))
        .await
        .assert();
    conformance_of_wrapper(|inner| {
        let admission = admission();
        inner.with(admission.clone()).attach(admission)
    })
    .await
    .assert();
}

#[test]
fn memory_of_gpus_is_told_together() {
    let gpu = |free: u64| json!({"index": 0, "name": "a GPU", "memory_total": 10_000, "memory_free": free, "load": null});
    let machine = json!({"cpu_cores": null, "cpu_load": null, "memory_total": null, "memory_available": 7,
        "disk_available": null, "gpus": [gpu(10), gpu(1_000)]});
    let monitor = ResourceMonitor::fixed(serde_json::from_value(machine).unwrap());
    let capacity = |health: Health| health.capacity().unwrap();
    let told = capacity(Attached::health(&AdmissionLayer::new(monitor.clone())));
    assert_eq!((told.memory_free, told.gpu_memory_free), (Some(7), Some(1_010)));
    let seen = capacity(monitor.health());
    assert_eq!(seen.gpu_memory_free, told.gpu_memory_free);
}

#[tokio::test]
async fn it_begins_where_whoever_knows_the_engine_says() {
    assert_eq!(admission().limit(), 4);
    assert_eq!(admission().starting_at(64).limit(), 64);
    assert_eq!(admission().ceiling(8).starting_at(64).limit(), 8);
}
