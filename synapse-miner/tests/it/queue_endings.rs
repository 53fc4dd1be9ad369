//! However a request ends, its place comes back.

use futures_util::StreamExt;
use synapse_core::InferenceModule;
use synapse_miner::QueueLayer;
use tokio::time::{Duration, timeout};

use crate::engine::{Engine, ask, whole};

/// Runs a request that ends as `text` says, and then one that must get its place.
async fn check(text: &str, expect: Result<(), &str>) {
    let (engine, queue) = (Engine::default(), QueueLayer::bounded(4));
    let module = engine.behind(&queue);
    assert_eq!(
        whole(&module, ask(text)).await,
        expect.map_err(str::to_owned),
        "{text}"
    );
    assert_eq!((queue.waiting(), queue.in_flight()), (0, 0), "{text}");
    let (one, two) = tokio::join!(whole(&module, ask(text)), whole(&module, ask("next 2")));
    assert_eq!(
        (one.map_err(|_| ()), two),
        (expect.map_err(|_| ()), Ok(())),
        "{text}"
    );
    assert_eq!((queue.in_flight(), engine.running()), (0, 0), "{text}");
}

#[tokio::test(start_paused = true)]
async fn the_place_comes_back() {
    check("a 2", Ok(())).await;
    check("a 2 refuse", Err("engine_failed")).await;
    check("a 2 panic", Err("module_panicked")).await;
    check("a 2 break", Err("cut")).await;
    check("a 2 burst", Err("module_panicked")).await;
}

#[tokio::test(start_paused = true)]
async fn the_place_comes_back_from_a_caller_who_leaves() {
    let (engine, queue) = (Engine::default(), QueueLayer::bounded(4));
    let module = engine.behind(&queue);
    let before_the_head = timeout(Duration::from_secs(1), module.run_inference(ask("a 4"))).await;
    assert!(before_the_head.is_err());
    assert_eq!((queue.in_flight(), engine.running()), (0, 0));

    let mut output = module.run_inference(ask("b 4")).await.unwrap();
    output.body.next().await.unwrap().unwrap();
    assert_eq!((queue.in_flight(), engine.running()), (1, 1));
    drop(output);
    assert_eq!((queue.in_flight(), engine.running()), (0, 0), "mid-stream");

    let mut output = module.run_inference(ask("c 4")).await.unwrap();
    for _ in 0..2 {
        output.body.next().await.unwrap().unwrap();
    }
    assert_eq!(
        queue.in_flight(),
        0,
        "at the last chunk, while the output is still there"
    );
}
