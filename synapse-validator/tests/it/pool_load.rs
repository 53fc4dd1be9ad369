//! Clients that leave at any moment.

use std::{sync::Arc, time::Duration};

use futures_util::{StreamExt, stream};
use synapse_core::{Body, Chunk, Delta, FinishReason, InferenceModule, ModuleExt, Output, RateLimitStatus};
use synapse_validator::{
    Quota, RateLimitLayer, TokenCountLayer, Tokenizers, TraceLayer, token_count::UsageReport,
};
use tokio::time::{sleep, timeout};
use tower::ServiceBuilder;

use crate::fleet::{Fleet, Miner, ask, read};

/// A head after 20 ms, five deltas 10 ms apart, the end.
fn slow_stream() -> Output {
    let deltas = stream::iter(0..5).then(|_| async {
        sleep(Duration::from_millis(10)).await;
        Ok(Chunk::delta(Delta::text("word ")))
    });
    let end = stream::iter([Ok(Chunk::delta(Delta::finish(FinishReason::Stop)).into_last())]);
    Output::new(Body::new(deltas.chain(end)))
}

#[tokio::test(start_paused = true)]
async fn nothing_is_left_of_a_thousand_clients_who_leave_at_random_moments() {
    let miners = [(); 3].map(|()| {
        Miner::new(|_| async {
            sleep(Duration::from_millis(20)).await;
            Ok(slow_stream())
        })
    });
    let fleet = Fleet::of([("a", &miners[0]), ("b", &miners[1]), ("c", &miners[2])]);
    let pool = Arc::new(fleet.pool());
    pool.initialize().await.unwrap();
    let tasks = tokio::runtime::Handle::current().metrics();
    let before = tasks.num_alive_tasks();
    let mut seed: u64 = 0x5EED;
    let clients: Vec<_> = (0..1_000)
        .map(|_| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let patience = Duration::from_millis((seed >> 33) % 100);
            let pool = pool.clone();
            tokio::spawn(async move {
                timeout(patience, async {
                    let mut output = pool.run_inference(ask("m")).await.unwrap();
                    while let Some(chunk) = output.body.next().await {
                        // One who leaves right after the end counts as one who read it.
                        if chunk.unwrap().is_last() {
                            break;
                        }
                    }
                })
                .await
                .is_ok()
            })
        })
        .collect();
    let mut stayed = 0;
    for client in clients {
        stayed += usize::from(client.await.unwrap());
    }
    assert!((100..900).contains(&stayed), "{stayed} stayed to the end");
    let metrics = pool.get_metrics();
    for miner in ["a", "b", "c"] {
        assert_eq!(metrics.get("pool.in_flight", &[("miner", miner)]), Some(0.0));
        assert!(metrics.get("pool.requests", &[("miner", miner)]) > Some(200.0));
        assert_eq!(metrics.get("pool.failures", &[("miner", miner)]), Some(0.0));
    }
    assert_eq!(tasks.num_alive_tasks(), before);
}

#[tokio::test(start_paused = true)]
async fn the_whole_gateway_charges_what_was_counted_however_clients_leave() {
    const TOKENS: u64 = 1_000_000;
    let miner = Miner::new(|_| async {
        sleep(Duration::from_millis(20)).await;
        Ok(slow_stream())
    });
    let fleet = Fleet::of([("a", &miner)]);
    let (trace, count) = (TraceLayer::new(), TokenCountLayer::new(Tokenizers::new()));
    let limit = RateLimitLayer::per_caller(Quota::tokens_per_day(TOKENS));
    let gateway = fleet
        .pool()
        .with(
            ServiceBuilder::new()
                .layer(trace.clone())
                .layer(count)
                .layer(limit),
        )
        .attach(trace);
    gateway.initialize().await.unwrap();
    let mut seed: u64 = 0xC0FFEE;
    let clients: Vec<_> = (0..200)
        .map(|_| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let patience = Duration::from_millis((seed >> 33) % 100);
            let gateway = gateway.clone();
            tokio::spawn(async move {
                let mut report = UsageReport::default();
                let _ = timeout(patience, async {
                    let mut output = gateway.run_inference(ask("m")).await.unwrap();
                    report = output.head.extensions().get::<UsageReport>().unwrap().clone();
                    while output.body.next().await.is_some() {}
                })
                .await;
                // Who left before the head was charged for the prompt alone.
                report
                    .get()
                    .map_or(3, |usage| usage.input.tokens() + usage.output.tokens())
            })
        })
        .collect();
    let mut charged = 0;
    for client in clients {
        charged += client.await.unwrap();
    }
    let output = gateway.run_inference(ask("m")).await.unwrap();
    let status = output
        .head
        .extensions()
        .get::<RateLimitStatus>()
        .unwrap()
        .tokens
        .unwrap();
    // The day goes on a little meanwhile: 11 tokens a second come back.
    let used = TOKENS - status.remaining() - (3 + 4_096);
    assert!(
        (charged - 5..=charged).contains(&used),
        "{used} used, {charged} counted"
    );
    drop(output);
    let metrics = gateway.get_metrics();
    let outcomes = ["complete", "dropped", "broken", "refused", "failed"];
    let counts = outcomes.map(|outcome| {
        metrics
            .get("inference.requests", &[("outcome", outcome)])
            .unwrap()
    });
    assert!(
        (counts.iter().sum::<f64>() - 201.0).abs() < 0.5 && counts[2..] == [0.0; 3],
        "{counts:?}"
    );
    assert_eq!(metrics.get("pool.in_flight", &[("miner", "a")]), Some(0.0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nobody_is_asked_after_he_was_shut_down() {
    let stays = Miner::good();
    let fleet = Fleet::of([("stays", &stays)]);
    let pool = Arc::new(fleet.pool());
    pool.initialize().await.unwrap();
    let clients: Vec<_> = (0..8)
        .map(|_| {
            let pool = pool.clone();
            tokio::spawn(async move {
                loop {
                    read(pool.run_inference(ask("m")).await.unwrap()).await.unwrap();
                    tokio::task::yield_now().await;
                }
            })
        })
        .collect();
    let mut left = Vec::new();
    for number in 0..80 {
        let (name, leaves) = (format!("leaves-{number}"), Miner::good());
        fleet.join(&name, &leaves);
        let asked = async {
            while leaves.asked() == 0 {
                tokio::task::yield_now().await;
            }
        };
        timeout(Duration::from_secs(10), asked).await.unwrap();
        fleet.leave(&name);
        left.push(leaves);
    }
    for client in clients {
        client.abort();
    }
    pool.shutdown().await.unwrap();
    for leaves in left {
        assert_eq!((leaves.shut_down(), leaves.asked_too_late()), (1, 0));
    }
}
