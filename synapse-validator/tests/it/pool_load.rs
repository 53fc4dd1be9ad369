//! Clients that leave at any moment.

use std::{sync::Arc, time::Duration};

use futures_util::{StreamExt, stream};
use synapse_core::{Body, Chunk, Delta, FinishReason, InferenceModule, Output};
use tokio::time::{sleep, timeout};

use crate::fleet::{Fleet, Miner, ask};

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
