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

#[tokio::test(start_paused = true)]
async fn what_was_accepted_is_answered_though_the_miner_lets_go_of_module_and_queue() {
    let (engine, queue) = (Engine::default(), QueueLayer::bounded(4));
    let module = engine.behind(&queue);
    let asking: Vec<_> = ["a 2", "b 2", "c 2"]
        .map(|text| {
            let module = module.clone();
            tokio::spawn(async move { whole(&module, ask(text)).await })
        })
        .into();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!((queue.in_flight(), queue.waiting()), (1, 2));
    drop((module, queue));
    for request in asking {
        assert_eq!(request.await.unwrap(), Ok(()));
    }
    assert_eq!(engine.running(), 0);
}

#[tokio::test(start_paused = true)]
async fn who_waits_behind_one_that_panics_or_breaks_is_started_nevertheless() {
    let (engine, queue) = (Engine::default(), QueueLayer::bounded(8));
    let module = engine.behind(&queue);
    let texts = ["a 2 panic", "b 2", "c 2 burst", "d 2", "e 2 break", "f 2"];
    let asked = texts.map(|text| whole(&module, ask(text)));
    let answers = futures_util::future::join_all(asked).await;
    let codes: Vec<_> = answers
        .iter()
        .map(|answer| answer.as_ref().map_err(String::as_str))
        .collect();
    let failed = [
        Err("module_panicked"),
        Ok(&()),
        Err("module_panicked"),
        Ok(&()),
        Err("cut"),
        Ok(&()),
    ];
    assert_eq!(codes, failed);
    assert_eq!((queue.waiting(), queue.in_flight(), engine.running()), (0, 0, 0));
}
