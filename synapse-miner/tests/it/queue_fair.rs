//! Who gets how much of an engine that is asked for more than it can do. Time is simulated.

use std::{sync::Arc, time::Duration};

use synapse_core::{ErrorKind, InferenceModule, ModuleExt, Retry};
use synapse_miner::{QueueLayer, queue::Priority};
use tokio::time::{Instant, advance, sleep};

use crate::paced::{Dice, Tally, paced, request_of, staked};

const PACE: Duration = Duration::from_millis(10);

fn behind(queue: &QueueLayer) -> impl InferenceModule + Clone {
    paced(&Arc::default(), |_| PACE)
        .with(queue.clone())
        .attach(queue.clone())
}

/// Several callers who each send requests at even distances for so long, whatever became of those before.
async fn flood(callers: &[(&str, u64, Duration)], queue: &QueueLayer, time: Duration) -> Tally {
    let (module, tally, start) = (behind(queue), Tally::default(), Instant::now());
    let mut senders = Vec::new();
    for (seed, (name, stake, every)) in callers.iter().enumerate() {
        let (module, tally, name) = (module.clone(), tally.clone(), (*name).to_owned());
        let (stake, every, mut dice) = (*stake, *every, Dice::new(seed as u64 + 7));
        senders.push(tokio::spawn(async move {
            while start.elapsed() < time {
                let (module, tally, name) = (module.clone(), tally.clone(), name.clone());
                let tokens = dice.roll(20, 181);
                let input = if stake == 0 {
                    request_of(&name, tokens)
                } else {
                    staked(&name, stake, tokens)
                };
                tokio::spawn(async move { tally.ask(&module, &name, input).await });
                sleep(every).await;
            }
        }));
    }
    for sender in senders {
        sender.await.unwrap();
    }
    tally
}

/// Four places, a second a request on average: four requests a second.
#[tokio::test(start_paused = true)]
async fn a_flood_of_a_hundred_to_one_leaves_an_equal_caller_his_half() {
    for stake in [0, 1_000] {
        let queue = QueueLayer::bounded(64).concurrency(4);
        let (calm, every) = (Duration::from_millis(400), Duration::from_millis(4));
        let tally = flood(
            &[("flood", stake, every), ("calm", stake, calm)],
            &queue,
            Duration::from_secs(120),
        )
        .await;
        let (flood, calm) = (tally.tokens("flood"), tally.tokens("calm"));
        let share = calm / (flood + calm);
        println!(
            "flood 100:1, stake {stake}: {:.1} % for the caller who asks for 62 %",
            100.0 * share
        );
        assert!(share >= 0.45, "{share}");
        let work = (flood + calm) / (120.0 * 4.0 * 100.0);
        assert!(work >= 0.95, "the engine is kept busy: {work}");
        assert!(
            tally
                .refused()
                .keys()
                .all(|code| code == "queue_full" || code == "queue_displaced"),
            "{tally:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_stake_of_three_to_one_is_a_split_of_three_to_one() {
    let queue = QueueLayer::bounded(64).concurrency(4);
    let every = Duration::from_millis(25);
    let tally = flood(
        &[("rich", 3_000, every), ("poor", 1_000, every)],
        &queue,
        Duration::from_secs(240),
    )
    .await;
    let split = tally.tokens("rich") / tally.tokens("poor");
    println!("stakes 3:1 split the tokens {split:.2}:1");
    assert!((2.7..=3.3).contains(&split), "{split}");
}

#[tokio::test(start_paused = true)]
async fn whoever_is_sent_away_is_told_why_and_when_to_come_back() {
    let queue = QueueLayer::bounded(2).concurrency(1);
    let module = behind(&queue);
    let ask = |input| {
        let module = module.clone();
        tokio::spawn(async move { module.run_inference(input).await.map(|_| ()) })
    };
    let first = ask(request_of("greedy", 100));
    sleep(Duration::from_millis(1)).await;
    let (stays, goes) = (ask(request_of("greedy", 100)), ask(request_of("greedy", 100)));
    sleep(Duration::from_millis(1)).await;
    let modest = ask(request_of("modest", 100));
    let error = goes.await.unwrap().unwrap_err();
    assert_eq!(
        (error.kind(), error.code()),
        (ErrorKind::Overloaded, "queue_displaced")
    );
    assert!(matches!(error.retry(), Retry::After(_)));
    for other in [first, stays, modest] {
        assert!(other.await.unwrap().is_ok());
    }
}

#[tokio::test(start_paused = true)]
async fn batches_give_way_to_what_somebody_waits_for() {
    let queue = QueueLayer::bounded(8).concurrency(1);
    let (module, tally) = (behind(&queue), Tally::default());
    let mut batch = request_of("one", 100);
    batch.extensions_mut().insert(Priority::Batch);
    let start = Instant::now();
    let ask = async |name, input| {
        tally.ask(&module, name, input).await;
        start.elapsed().as_millis()
    };
    let (_, late, soon) = tokio::join!(
        ask("first", request_of("one", 100)),
        ask("batch", batch),
        ask("soon", request_of("one", 100))
    );
    assert_eq!((soon, late), (2_000, 3_000));
}

#[tokio::test(start_paused = true)]
async fn who_can_not_be_answered_in_time_is_told_at_once() {
    let queue = QueueLayer::bounded(64).concurrency(1);
    let module = behind(&queue);
    for _ in 0..8 {
        Tally::default().ask(&module, "a", request_of("a", 100)).await;
    }
    // Found free, a place is anybody's, however little time he has.
    let hasty = crate::paced::within(request_of("a", 100), Duration::from_millis(500));
    let mut output = module.run_inference(hasty).await.unwrap();
    let start = Instant::now();
    let error = module
        .run_inference(crate::paced::within(request_of("a", 100), Duration::from_secs(2)))
        .await
        .unwrap_err();
    assert_eq!(
        (error.kind(), error.code()),
        (ErrorKind::Timeout, "deadline_unreachable")
    );
    assert_eq!(error.retry_after(), Some(Duration::from_secs(1)));
    assert_eq!(start.elapsed(), Duration::ZERO);
    // A short one is over sooner than the mean says.
    let short = module.run_inference(crate::paced::within(request_of("a", 10), Duration::from_secs(2)));
    let read = async { while futures_util::StreamExt::next(&mut output.body).await.is_some() {} };
    assert!(tokio::join!(short, read).0.is_ok());
}

#[tokio::test(start_paused = true)]
async fn an_operator_sees_who_waits() {
    let queue = QueueLayer::bounded(8).concurrency(2);
    let module = behind(&queue);
    let mut calls = Vec::new();
    for input in [
        staked("v1", 10, 100),
        staked("v1", 10, 100),
        staked("v1", 10, 100),
        staked("v1", 10, 100),
        request_of("c1", 100),
    ] {
        let module = module.clone();
        calls.push(tokio::spawn(async move { module.run_inference(input).await }));
        tokio::task::yield_now().await;
    }
    advance(Duration::from_millis(1)).await;
    let status = queue.status();
    let callers: Vec<_> = status
        .callers
        .iter()
        .map(|caller| {
            (
                caller.caller.as_str(),
                caller.stake,
                caller.waiting,
                caller.in_flight,
            )
        })
        .collect();
    assert_eq!(callers, [("v1", 10, 2, 2), ("c1", 0, 1, 0)]);
    assert_eq!(
        (status.places, status.in_flight, status.waiting, status.bound),
        (2, 2, 3, 8)
    );
    queue.set_places(5);
    advance(Duration::from_millis(1)).await;
    assert_eq!(
        (queue.in_flight(), queue.waiting()),
        (5, 0),
        "more places are used at once"
    );
    for call in &calls {
        call.abort();
    }
    sleep(Duration::from_secs(5)).await;
    assert_eq!(
        (queue.in_flight(), queue.status().callers.len()),
        (0, 0),
        "nobody is remembered for nothing"
    );
}
