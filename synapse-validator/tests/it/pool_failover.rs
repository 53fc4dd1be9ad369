//! Fail-over: when, to whom, and what the client hears at the end.

use std::{sync::Mutex, time::Duration};

use synapse_core::{Body, Deadline, Error, ErrorKind, HealthStatus, InferenceModule, Output, Retry, Task};
use synapse_validator::pool::{Attempt, Excluded};
use tokio::time::Instant;

use crate::fleet::{Fleet, Miner, ask, chat_with, endless_reply, read, reply, reply_then};

fn error(kind: ErrorKind) -> Error {
    Error::new(kind, "scripted", "a scripted failure")
}

fn after(kind: ErrorKind, seconds: u64) -> Error {
    error(kind).with_retry(Retry::After(Duration::from_secs(seconds)))
}

#[tokio::test(start_paused = true)]
async fn fails_over_before_the_first_content() {
    async fn check(what: &str, first: Miner) {
        let second = Miner::good();
        let fleet = Fleet::of([("a", &first), ("b", &second)]);
        let pool = fleet.ordered().await;
        let output = pool.run_inference(ask("m")).await.expect(what);
        assert_eq!(output.head.served_by(), Some(&"b".into()), "{what}");
        assert_eq!(first.asked(), 1, "{what}");
        assert_eq!(read(output).await.unwrap(), 2, "{what}");
    }
    check("unavailable", Miner::failing(error(ErrorKind::Unavailable))).await;
    check("broken", Miner::failing(error(ErrorKind::Broken))).await;
    check("timeout", Miner::failing(error(ErrorKind::Timeout))).await;
    check("internal", Miner::failing(error(ErrorKind::Internal))).await;
    check("no room", Miner::failing(error(ErrorKind::Overloaded))).await;
    check("no room for 5 s", Miner::failing(after(ErrorKind::Overloaded, 5))).await;
    check("starting", Miner::failing(after(ErrorKind::Unavailable, 5))).await;
    check(
        "the gateway's own quota",
        Miner::failing(after(ErrorKind::RateLimited, 5)),
    )
    .await;
    check(
        "does not know the gateway",
        Miner::failing(error(ErrorKind::Unauthenticated)),
    )
    .await;
    check("forgot its model", Miner::failing(error(ErrorKind::NotFound))).await;
    check(
        "empty stream",
        Miner::new(|_| async { Ok(Output::new(Body::from_deltas([]))) }),
    )
    .await;
    check("panic", Miner::new(|_| async { panic!("scripted") })).await;
}

#[tokio::test(start_paused = true)]
async fn a_miner_that_stays_silent_is_given_up() {
    let (first, second) = (Miner::new(|_| std::future::pending()), Miner::good());
    let fleet = Fleet::of([("a", &first), ("b", &second)]);
    let pool = fleet.pool().first_content_within(Duration::from_secs(20));
    pool.initialize().await.unwrap();
    for _ in 0..8 {
        let output = pool.run_inference(ask("m")).await.unwrap();
        assert_eq!(output.head.served_by(), Some(&"b".into()));
    }
    assert!(first.asked() <= 3, "asked {} times", first.asked());
}

#[tokio::test(start_paused = true)]
async fn never_fails_over_after_the_first_content() {
    let broken = Miner::new(|_| async { Ok(reply_then(vec![Err(error(ErrorKind::Broken))])) });
    let second = Miner::good();
    let fleet = Fleet::of([("a", &broken), ("b", &second)]);
    let pool = fleet.ordered().await;
    let output = pool.run_inference(ask("m")).await.unwrap();
    assert_eq!(read(output).await.unwrap_err().kind(), ErrorKind::Broken);
    assert_eq!(second.asked(), 0);
}

#[tokio::test(start_paused = true)]
async fn excluded_members_are_not_asked() {
    let (first, second) = (Miner::good(), Miner::good());
    let fleet = Fleet::of([("a", &first), ("b", &second)]);
    let pool = fleet.ordered().await;
    let mut input = ask("m");
    input.extensions_mut().insert(Excluded::new(["a".into()]));
    let output = pool.run_inference(input.clone()).await.unwrap();
    assert_eq!((first.asked(), output.head.served_by()), (0, Some(&"b".into())));
    input
        .extensions_mut()
        .insert(Excluded::new(["a".into(), "b".into()]));
    let refused = pool.run_inference(input).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unavailable);
    assert_eq!(refused.retry(), Retry::After(Duration::from_secs(1)));
}

#[tokio::test(start_paused = true)]
async fn asks_as_many_as_attempts_and_tells_each_which_it_is() {
    let seen = std::sync::Arc::new(Mutex::new(Vec::new()));
    let miners: Vec<Miner> = (0..4)
        .map(|_| {
            let seen = seen.clone();
            Miner::new(move |input| {
                let attempt = input.extensions().get::<Attempt>().unwrap().number();
                seen.lock().unwrap().push(attempt);
                std::future::ready(Err(error(ErrorKind::Unavailable)))
            })
        })
        .collect();
    let fleet = Fleet::of([
        ("a", &miners[0]),
        ("b", &miners[1]),
        ("c", &miners[2]),
        ("d", &miners[3]),
    ]);
    let pool = fleet.ordered().await;
    let failed = pool.run_inference(ask("m")).await.unwrap_err();
    assert_eq!(
        (failed.kind(), failed.code()),
        (ErrorKind::Unavailable, "scripted")
    );
    assert_eq!(*seen.lock().unwrap(), [1, 2, 3]);
}

#[tokio::test(start_paused = true)]
async fn what_the_client_hears_when_everybody_failed() {
    async fn check(first: Error, second: Error, expect: (ErrorKind, &str, Retry)) {
        let (first, second) = (Miner::failing(first), Miner::failing(second));
        let fleet = Fleet::of([("a", &first), ("b", &second)]);
        let failed = fleet.ordered().await.run_inference(ask("m")).await.unwrap_err();
        assert_eq!((failed.kind(), failed.code(), failed.retry()), expect);
    }
    let seconds = |seconds| Retry::After(Duration::from_secs(seconds));
    check(
        after(ErrorKind::Overloaded, 9),
        after(ErrorKind::RateLimited, 4),
        (ErrorKind::Overloaded, "miners_overloaded", seconds(4)),
    )
    .await;
    check(
        error(ErrorKind::Overloaded),
        error(ErrorKind::Overloaded),
        (ErrorKind::Overloaded, "miners_overloaded", seconds(1)),
    )
    .await;
    check(
        after(ErrorKind::Overloaded, 9),
        error(ErrorKind::Broken),
        (ErrorKind::Broken, "scripted", Retry::Elsewhere),
    )
    .await;
    check(
        error(ErrorKind::Broken),
        error(ErrorKind::Forbidden),
        (ErrorKind::Unavailable, "miners_refused", seconds(1)),
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn asks_nobody_else_once_the_deadline_passed() {
    let slow = Miner::new(|_| async {
        tokio::time::sleep(Duration::from_secs(3)).await;
        Err(error(ErrorKind::Unavailable))
    });
    let second = Miner::good();
    let fleet = Fleet::of([("a", &slow), ("b", &second)]);
    let pool = fleet.ordered().await;
    let mut input = ask("m");
    input
        .extensions_mut()
        .insert(Deadline::at(Instant::now() + Duration::from_secs(2)));
    assert!(pool.run_inference(input).await.is_err());
    assert_eq!(second.asked(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_callers_own_deadline_is_no_failure_of_the_miner() {
    let slow = Miner::new(|_| async {
        tokio::time::sleep(Duration::from_secs(3)).await;
        Err(error(ErrorKind::Timeout))
    });
    let fleet = Fleet::of([("a", &slow)]);
    let pool = fleet.ordered().await;
    for _ in 0..10 {
        let mut input = ask("m");
        let hurry = Deadline::at(Instant::now() + Duration::from_secs(1));
        input.extensions_mut().insert(hurry);
        assert!(pool.run_inference(input).await.is_err());
    }
    let metrics = pool.get_metrics();
    assert_eq!(metrics.get("pool.ejected", &[]), Some(0.0));
    assert_eq!(metrics.get("pool.failures", &[("miner", "a")]), Some(0.0));
}

#[tokio::test(start_paused = true)]
async fn three_failures_in_a_row_eject_for_a_while_that_grows() {
    let (bad, good) = (Miner::failing(error(ErrorKind::Broken)), Miner::good());
    let fleet = Fleet::of([("a", &bad), ("b", &good)]);
    let pool = fleet.ordered().await;
    let ask_often = async |seconds: u64| {
        for _ in 0..seconds * 10 {
            read(pool.run_inference(ask("m")).await.unwrap()).await.unwrap();
            tokio::time::advance(Duration::from_millis(100)).await;
        }
    };
    ask_often(4).await;
    assert_eq!(bad.asked(), 3);
    assert_eq!(pool.get_metrics().get("pool.ejected", &[]), Some(1.0));
    ask_often(3).await;
    assert_eq!(
        bad.asked(),
        4,
        "after 5 s it is tried, fails, and is out for 10 s"
    );
    ask_often(8).await;
    assert_eq!(bad.asked(), 4);
    bad.set_script(|_| async { Ok(reply()) });
    ask_often(4).await;
    assert!(bad.asked() > 20, "asked {} times", bad.asked());
    assert_eq!(
        pool.get_metrics().get("pool.failures", &[("miner", "a")]),
        Some(4.0)
    );
}

#[tokio::test(start_paused = true)]
async fn one_that_fails_now_and_then_is_not_ejected() {
    let (asked, good) = (std::sync::atomic::AtomicUsize::new(0), Miner::good());
    let moody = Miner::new(move |_| {
        let works = asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed) % 3 == 2;
        std::future::ready(if works {
            Ok(reply())
        } else {
            Err(error(ErrorKind::Broken))
        })
    });
    let fleet = Fleet::of([("a", &moody), ("b", &good)]);
    let pool = fleet.ordered().await;
    for _ in 0..30 {
        read(pool.run_inference(ask("m")).await.unwrap()).await.unwrap();
    }
    assert_eq!((moody.asked(), good.asked()), (30, 20));
}

#[tokio::test(start_paused = true)]
async fn at_most_half_are_ejected_and_those_are_the_last_resort() {
    let miners: Vec<Miner> = (0..4).map(|_| Miner::failing(error(ErrorKind::Broken))).collect();
    let fleet = Fleet::of([
        ("a", &miners[0]),
        ("b", &miners[1]),
        ("c", &miners[2]),
        ("d", &miners[3]),
    ]);
    let pool = fleet.ordered().await;
    for _ in 0..10 {
        pool.run_inference(ask("m")).await.unwrap_err();
    }
    assert_eq!(pool.get_metrics().get("pool.ejected", &[]), Some(2.0));
    let alone = Miner::failing(error(ErrorKind::Broken));
    let fleet = Fleet::of([("a", &alone)]);
    let pool = fleet.ordered().await;
    for _ in 0..5 {
        pool.run_inference(ask("m")).await.unwrap_err();
    }
    assert_eq!(pool.get_metrics().get("pool.ejected", &[]), Some(1.0));
    assert_eq!(alone.asked(), 5, "there is nobody else");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_is_no_failure_of_the_miner() {
    let miner = Miner::new(|_| async { Ok(endless_reply()) });
    let fleet = Fleet::of([("a", &miner)]);
    let pool = fleet.ordered().await;
    for _ in 0..10 {
        drop(pool.run_inference(ask("m")).await.unwrap());
    }
    let metrics = pool.get_metrics();
    assert_eq!(metrics.get("pool.failures", &[("miner", "a")]), Some(0.0));
    assert_eq!(metrics.get("pool.requests", &[("miner", "a")]), Some(10.0));
    assert_eq!(metrics.get("pool.ejected", &[]), Some(0.0));
}

#[tokio::test(start_paused = true)]
async fn a_miner_cannot_claim_anothers_name() {
    let liar = Miner::new(|_| async {
        let mut output = reply();
        output.head = output.head.with_served_by("the-good-miner".into());
        Ok(output)
    });
    let fleet = Fleet::of([("liar", &liar)]);
    let output = fleet.ordered().await.run_inference(ask("m")).await.unwrap();
    assert_eq!(output.head.served_by(), Some(&"liar".into()));
}

#[tokio::test(start_paused = true)]
async fn says_why_nobody_serves_what_is_asked() {
    let (one, other) = (
        Miner::good().serving(chat_with("one")),
        Miner::good().serving(chat_with("other")),
    );
    let fleet = Fleet::of([("a", &one), ("b", &other)]);
    let pool = fleet.ordered().await;
    let unknown = pool.run_inference(ask("third")).await.unwrap_err();
    assert_eq!(
        (unknown.kind(), unknown.code()),
        (ErrorKind::NotFound, "model_not_found")
    );

    let embed = synapse_core::Input::from_request(
        Task::EMBEDDINGS,
        synapse_core::Request::new("one", synapse_core::Prompt::Texts(vec!["hello".into()])),
    );
    let task = pool.run_inference(embed).await.unwrap_err();
    assert_eq!(
        (task.kind(), task.code()),
        (ErrorKind::Unsupported, "task_unsupported")
    );

    other.set_up(false);
    tokio::time::sleep(Duration::from_secs(60)).await;
    let down = pool.run_inference(ask("other")).await.unwrap_err();
    assert_eq!(
        (down.kind(), down.retry()),
        (ErrorKind::Unavailable, Retry::After(Duration::from_secs(1)))
    );
    assert_eq!(pool.health_check().await.unwrap().status(), HealthStatus::Ready);
}
