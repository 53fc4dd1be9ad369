//! Callers that leave, engines that stop, and who hears of it.

use synapse_core::FinishReason;
use synapse_llama::LlamaError;
use synapse_llama::engine::{EngineStatus, GenerationEvent};

use crate::support::{answer, endless, engine, until};

#[tokio::test]
async fn a_dropped_reply_costs_at_most_one_more_step() {
    let engine = engine(|_| {});
    let mut generation = engine.generate(endless(400)).expect("it is taken");
    for _ in 0..3 {
        generation.next().await.expect("an event").expect("no error");
    }
    let before = engine.stats();
    assert_eq!(before.active, 1);
    drop(generation);
    until("the sequence is free", || engine.stats().active == 0).await;
    let after = engine.stats();
    // One step may have been over and not counted when `before` was read, and one may have been running.
    assert!(
        after.decode_steps - before.decode_steps <= 2,
        "{before:?} {after:?}"
    );
    assert_eq!((after.cancelled, after.finished, after.queued), (1, 0, 0));
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    assert_eq!(
        engine.stats().decode_steps,
        after.decode_steps,
        "nothing is decoded for nobody"
    );
}

#[tokio::test]
async fn a_reply_dropped_while_it_waits_or_reads_its_prompt_is_let_go() {
    let engine = engine(|config| config.parallel = 1);
    let mut running = engine.generate(endless(400)).expect("it is taken");
    running.next().await.expect("an event").expect("no error");
    let waiting = engine.generate(endless(10)).expect("it waits");
    assert_eq!(engine.stats().queued, 1);
    drop(waiting);
    until("the queue is empty", || engine.stats().queued == 0).await;
    assert_eq!(engine.stats().active, 1);
    drop(running);
    until("all is free", || engine.stats().active == 0).await;
    assert_eq!(answer(&engine, endless(3)).await.reason, FinishReason::Length);
}

#[tokio::test]
async fn many_that_leave_at_random_leave_nothing_behind() {
    let engine = engine(|config| config.context_length = Some(256));
    for round in 0..60_u64 {
        let generation = engine.generate(endless(100));
        tokio::time::sleep(std::time::Duration::from_micros(round * 7919 % 6000)).await;
        drop(generation);
    }
    until("all is free", || {
        (engine.stats().active, engine.stats().queued) == (0, 0)
    })
    .await;
    let stats = engine.stats();
    assert_eq!(stats.cancelled + stats.finished + stats.refused, 60, "{stats:?}");
}

#[tokio::test]
async fn stopping_ends_running_and_waiting_replies_with_an_error() {
    let engine = engine(|config| config.parallel = 1);
    let mut running = engine.generate(endless(400)).expect("it is taken");
    running.next().await.expect("an event").expect("no error");
    let mut waiting = engine.generate(endless(10)).expect("it waits");
    engine.stop();
    engine.stop();
    assert_eq!(engine.status(), EngineStatus::Stopped);
    for generation in [&mut running, &mut waiting] {
        let mut last = None;
        while let Some(event) = generation.next().await {
            last = Some(event);
        }
        assert!(matches!(last, Some(Err(LlamaError::Stopped))), "{last:?}");
    }
    assert!(matches!(engine.generate(endless(1)), Err(LlamaError::Stopped)));
    assert!(matches!(engine.embed(vec![1, 2]).await, Err(LlamaError::Stopped)));
}

#[tokio::test]
async fn dropping_the_last_handle_ends_the_thread() {
    let engine = engine(|_| {});
    let mut generation = engine.generate(endless(400)).expect("it is taken");
    assert!(matches!(
        generation.next().await,
        Some(Ok(GenerationEvent::Text { .. }))
    ));
    drop(engine.clone());
    assert!(
        matches!(generation.next().await, Some(Ok(GenerationEvent::Text { .. }))),
        "a clone is not the last"
    );
    drop(engine);
    let mut last = None;
    while let Some(event) = generation.next().await {
        last = Some(event);
    }
    assert!(matches!(last, Some(Err(LlamaError::Stopped))), "{last:?}");
}
