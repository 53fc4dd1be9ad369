//! Who gets a place, when, and who does not.

use std::time::Duration;

use futures_util::{FutureExt, future::join_all};
use synapse_core::{
    ErrorKind, InferenceModule, ModuleExt, Retry,
    testkit::{Echo, conformance, conformance_of_wrapper},
};
use synapse_miner::{QueueLayer, QueueWait};
use tokio::time::{Instant, advance, timeout};

use crate::engine::{Engine, ask, ask_until, whole};

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[tokio::test(start_paused = true)]
async fn requests_start_in_the_order_in_which_they_came() {
    let (engine, queue) = (Engine::default(), QueueLayer::bounded(64).concurrency(2));
    let module = engine.behind(&queue);
    let names: Vec<String> = (0..20).map(|number| format!("r{number}")).collect();
    let start = Instant::now();
    let answers = join_all(names.iter().map(|name| whole(&module, ask(&format!("{name} 4"))))).await;
    assert!(answers.iter().all(Result::is_ok));
    assert_eq!(engine.started(), names);
    assert_eq!(engine.most(), 2);
    assert_eq!(
        start.elapsed(),
        secs(40),
        "a place is held until the body ends, and no place stays idle"
    );
}

#[tokio::test(start_paused = true)]
async fn the_reply_says_how_long_the_wait_was() {
    let (engine, queue) = (Engine::default(), QueueLayer::bounded(64));
    let module = engine.behind(&queue);
    let wait = async |name| {
        let mut output = module.run_inference(ask(name)).await.unwrap();
        let wait = *output.head.extensions().get::<QueueWait>().unwrap();
        while futures_util::StreamExt::next(&mut output.body).await.is_some() {}
        (wait.position_at_entry(), wait.waited())
    };
    let waits = tokio::join!(wait("a 4"), wait("b 4"), wait("c 4"));
    assert_eq!(waits, ((0, secs(0)), (1, secs(4)), (2, secs(8))));
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_refuses_at_once_and_says_when_to_come_back() {
    let (engine, queue) = (Engine::default(), QueueLayer::bounded(2));
    let module = engine.behind(&queue);
    whole(&module, ask("first 6")).await.unwrap();
    let mut held: Vec<_> = ["a", "b", "c"].map(|name| module.run_inference(ask(name))).into();
    for call in &mut held {
        assert!(call.now_or_never().is_none());
    }
    let start = Instant::now();
    let error = module.run_inference(ask("d")).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.code()),
        (ErrorKind::Overloaded, "queue_full")
    );
    assert_eq!(
        error.retry(),
        Retry::After(secs(18)),
        "three rounds of six seconds"
    );
    assert_eq!(start.elapsed(), secs(0));
    assert!(
        error
            .to_string()
            .starts_with("the queue is full, with 2 waiting and 1 under way; "),
        "{error}"
    );
    assert_eq!((queue.waiting(), queue.in_flight()), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn without_a_line_nobody_waits() {
    let (engine, queue) = (Engine::default(), QueueLayer::bounded(0).concurrency(1));
    let module = engine.behind(&queue);
    let (one, other) = tokio::join!(whole(&module, ask("a 4")), whole(&module, ask("b 4")));
    assert_eq!((one, other), (Ok(()), Err("queue_full".to_owned())));
}

#[tokio::test(start_paused = true)]
async fn expired_work_leaves_the_line_that_moment_and_is_never_started() {
    let (engine, queue) = (Engine::default(), QueueLayer::bounded(1));
    let module = engine.behind(&queue);
    let start = Instant::now();
    let late = async {
        let error = module
            .run_inference(ask_until("late", secs(3)))
            .await
            .unwrap_err();
        assert_eq!(
            (error.kind(), error.code()),
            (ErrorKind::Timeout, "deadline_exceeded")
        );
        assert!(error.to_string().contains("position 1 and waited 3s"), "{error}");
        assert_eq!(start.elapsed(), secs(3));
        whole(&module, ask("next 2")).await
    };
    let (first, next) = tokio::join!(whole(&module, ask("first 10")), late);
    assert!(first.is_ok() && next.is_ok(), "the position is free at once");
    assert_eq!(engine.started(), ["first", "next"]);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_that_comes_with_the_place_is_too_late() {
    let (engine, queue) = (Engine::default(), QueueLayer::bounded(4));
    let module = engine.behind(&queue);
    let (first, late, next) = tokio::join!(
        whole(&module, ask("first 10")),
        whole(&module, ask_until("late", secs(10))),
        whole(&module, ask("next 2"))
    );
    assert_eq!(
        (first, late, next),
        (Ok(()), Err("deadline_exceeded".to_owned()), Ok(()))
    );
    assert_eq!(engine.started(), ["first", "next"]);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_in_the_past_is_refused_even_where_there_is_room() {
    let (engine, queue) = (Engine::default(), QueueLayer::bounded(4));
    let input = ask_until("late", secs(1));
    advance(secs(2)).await;
    assert_eq!(
        whole(&engine.behind(&queue), input).await,
        Err("deadline_exceeded".to_owned())
    );
    assert!(engine.started().is_empty());
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_longer_than_max_wait() {
    let (engine, queue) = (Engine::default(), QueueLayer::bounded(4).max_wait(secs(5)));
    let module = engine.behind(&queue);
    let impatient = async {
        let error = module.run_inference(ask("b")).await.unwrap_err();
        assert_eq!(
            (error.kind(), error.code()),
            (ErrorKind::Overloaded, "queue_wait_exceeded")
        );
        assert!(matches!(error.retry(), Retry::After(_)));
    };
    let start = Instant::now();
    let (first, ()) = tokio::join!(whole(&module, ask("a 8")), impatient);
    assert!(first.is_ok());
    assert_eq!(start.elapsed(), secs(8));
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_longer_than_a_minute_where_nobody_said_otherwise() {
    async fn check(queue: QueueLayer, expect: Result<(), String>) {
        let module = Engine::default().behind(&queue);
        let (first, second) = tokio::join!(whole(&module, ask("a 70")), whole(&module, ask("b 1")));
        assert_eq!((first, second), (Ok(()), expect));
    }
    check(QueueLayer::bounded(4), Err("queue_wait_exceeded".to_owned())).await;
    check(QueueLayer::bounded(4).max_wait(Duration::MAX), Ok(())).await;
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_leaves_the_line_frees_his_position_at_once() {
    let (engine, queue) = (Engine::default(), QueueLayer::bounded(1));
    let module = engine.behind(&queue);
    let mut first = module.run_inference(ask("first"));
    assert!((&mut first).now_or_never().is_none());
    assert!(
        timeout(secs(1), module.run_inference(ask("leaves")))
            .await
            .is_err()
    );
    assert_eq!(queue.waiting(), 0);
    drop(first);
    assert_eq!((queue.waiting(), queue.in_flight(), engine.running()), (0, 0, 0));
    assert_eq!(engine.started(), ["first"]);
}

#[tokio::test(start_paused = true)]
async fn a_place_handed_to_somebody_who_is_gone_goes_to_the_next() {
    let (engine, queue) = (Engine::default(), QueueLayer::bounded(4));
    let module = engine.behind(&queue);
    let mut first = module.run_inference(ask("first"));
    let mut gone = module.run_inference(ask("gone"));
    let mut next = module.run_inference(ask("next"));
    for call in [&mut first, &mut gone, &mut next] {
        assert!(call.now_or_never().is_none());
    }
    drop(first);
    assert_eq!(
        (queue.waiting(), queue.in_flight()),
        (1, 1),
        "granted, and not yet polled"
    );
    drop(gone);
    assert_eq!((queue.waiting(), queue.in_flight()), (0, 1));
    assert!(next.await.is_ok());
    assert_eq!(engine.started(), ["first", "next"]);
}

#[tokio::test(start_paused = true)]
async fn a_module_behind_a_queue_keeps_the_contract() {
    let queue = QueueLayer::bounded(8);
    conformance(Echo::new().with(queue.clone()).attach(queue))
        .await
        .assert();
    conformance_of_wrapper(|inner| {
        let queue = QueueLayer::bounded(8).concurrency(2);
        inner.with(queue.clone()).attach(queue)
    })
    .await
    .assert();
}
