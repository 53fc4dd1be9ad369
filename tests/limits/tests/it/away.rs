//! Redis dies, stands still, and comes back.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use crate::places::{InRedis, LONG, Place, ask, metric, settled, shared, speaking, until};
use futures_util::StreamExt;
use parts::redis::OwnRedis;
use synapse_core::{Attached, ErrorKind, HealthStatus, InferenceModule, Retry};
use synapse_validator::rate_limit::{Limits, Quota, SharedLimits, WhenAway};
use tokio::time::{Instant, sleep, timeout};

/// Of a quota that hardly refills.
const REQUESTS: u64 = 400;

fn limits() -> Limits {
    Limits::per_caller(Quota::requests_per_day(REQUESTS).and(Quota::tokens_per_day(1_000_000)))
}

/// What tasks that ask again and again were told.
#[derive(Debug, Default)]
struct Told {
    let_in: AtomicUsize,
    refused: AtomicUsize,
    unavailable: AtomicUsize,
    over: AtomicBool,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_and_started_again_under_load() {
    let mut redis = OwnRedis::start();
    let layer = shared(&redis, limits(), |shared| {
        shared.reply_within(Duration::from_secs(5))
    })
    .await;
    let stack = Arc::new(speaking(layer.clone()));
    let told = Arc::new(Told::default());
    let tasks: Vec<_> = (0..20_u32)
        .map(|task| {
            let (stack, told) = (stack.clone(), told.clone());
            tokio::spawn(async move {
                while !told.over.load(Ordering::Relaxed) {
                    let asked = timeout(LONG, stack.run_inference(ask(100, 1 + task % 7)));
                    match asked.await.expect("no request hangs") {
                        Ok(output) => {
                            told.let_in.fetch_add(1, Ordering::Relaxed);
                            if task % 2 == 0 {
                                output.body.count().await;
                            }
                        }
                        Err(error) if error.kind() == ErrorKind::RateLimited => {
                            told.refused.fetch_add(1, Ordering::Relaxed);
                        }
                        Err(error) => {
                            assert_eq!(
                                (error.kind(), error.code()),
                                (ErrorKind::Unavailable, "limits_unavailable")
                            );
                            assert_eq!(error.retry(), Retry::After(Duration::from_secs(1)));
                            told.unavailable.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                    sleep(Duration::from_millis(20)).await;
                }
            })
        })
        .collect();
    let read = |count: &AtomicUsize| count.load(Ordering::Relaxed);
    until("some are let in", || read(&told.let_in) > 50).await;
    redis.kill();
    until("requests are refused", || read(&told.unavailable) > 50).await;
    assert_eq!(layer.health().status(), HealthStatus::Degraded);
    // Nothing is let in meanwhile; what was under way when it died is told, too.
    let before = read(&told.let_in);
    let refused = read(&told.unavailable);
    until("more are", || read(&told.unavailable) > refused + 50).await;
    assert_eq!(read(&told.let_in), before);
    assert!(before <= usize::try_from(REQUESTS).unwrap());

    let restarted = Instant::now();
    redis.start_again();
    until("requests are let in again", || read(&told.let_in) > before).await;
    println!("let in {:?} after the start of Redis began", restarted.elapsed());
    // It lost everything, so that everybody has one burst; and no more.
    until("the quota is used up", || read(&told.refused) > 200).await;
    told.over.store(true, Ordering::Relaxed);
    for task in tasks {
        task.await.unwrap();
    }
    // A day's 400 refill one in 216 s, which no test takes.
    let after = read(&told.let_in) - before;
    assert_eq!(after, usize::try_from(REQUESTS).unwrap(), "{told:?}");

    // Nothing is left of any request: no reservation here or there, and no key that stays for good.
    settled(&layer).await;
    assert_eq!(metric(&layer, "rate_limit.reservations"), 0);
    assert_eq!(metric(&layer, "rate_limit.settlements_dropped"), 0);
    assert_eq!(layer.health().status(), HealthStatus::Ready);
    let keys = redis.ask(&["KEYS", "*"]);
    let (reservations, accounts): (Vec<_>, Vec<_>) =
        keys.lines().partition(|key| key.contains("reservation"));
    assert_eq!(accounts.len(), 2, "the clock, and one account: {keys}");
    for key in reservations {
        assert_eq!(redis.ask(&["GET", key]), "", "{key} was called off");
    }
    for key in keys.lines() {
        assert!(
            redis.ask(&["PTTL", key]).parse::<i64>().unwrap() > 0,
            "{key} expires"
        );
    }
}

#[tokio::test]
async fn a_redis_that_stands_still_delays_nobody_for_long_and_keeps_nothing() {
    let place = InRedis::start();
    let limits = Limits::per_caller(Quota::token_budget_per_month(1_000).and(Quota::requests_per_day(100)));
    let late = |shared: SharedLimits| shared.reply_within(Duration::from_millis(250));
    let layer = shared(&place.redis, limits.clone(), late).await;
    let stack = speaking(layer.clone());
    let open = stack.run_inference(ask(100, 1)).await.unwrap();
    place.redis.freeze();
    let asked = Instant::now();
    let first = stack.run_inference(ask(900, 1)).await.unwrap_err();
    assert_eq!(first.code(), "limits_unavailable");
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
    // From now on nobody waits for it.
    let asked = Instant::now();
    for _ in 0..100 {
        stack.run_inference(ask(900, 1)).await.unwrap_err();
    }
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
    drop(open);
    place.redis.thaw();
    until("it is back", || metric(&layer, "rate_limit.shared") == 1).await;
    settled(&layer).await;
    // What it was asked before it stood still, and did late, was called off: all is there but the first prompt.
    let fresh = place.layer(limits).await;
    let all = speaking(fresh).run_inference(ask(997, 1)).await;
    assert!(all.is_ok(), "{all:?}");
}

#[tokio::test]
async fn a_client_that_leaves_before_redis_answers_has_taken_nothing() {
    let place = InRedis::start();
    let layer = place
        .layer(Limits::per_caller(Quota::token_budget_per_month(1_000)))
        .await;
    let stack = speaking(layer.clone());
    place.redis.freeze();
    for _ in 0..5 {
        let asked = timeout(Duration::from_millis(20), stack.run_inference(ask(200, 1))).await;
        assert!(asked.is_err(), "nobody answers");
    }
    place.redis.thaw();
    settled(&layer).await;
    assert!(stack.run_inference(ask(1_000, 1)).await.is_ok());
}

#[tokio::test]
async fn alone_a_gateway_holds_to_its_part() {
    let redis = OwnRedis::start();
    let alone = |shared: SharedLimits| {
        shared
            .reply_within(LONG)
            .when_away(WhenAway::Alone { percent: 50 })
    };
    let limits = Limits::per_caller(Quota::requests_per_day(10).and(Quota::tokens_per_day(1_000)));
    let layer = shared(&redis, limits, alone).await;
    let stack = speaking(layer.clone());
    stack.run_inference(ask(100, 1)).await.unwrap();
    redis.kill();
    for _ in 0..5 {
        stack.run_inference(ask(10, 1)).await.unwrap();
    }
    let error = stack.run_inference(ask(10, 1)).await.unwrap_err();
    assert_eq!(error.message(), "the quota of 5 requests per day is used up");
    // More than its part ever holds, but not more than the quota does.
    let error = stack.run_inference(ask(600, 1)).await.unwrap_err();
    assert_eq!(error.code(), "limits_unavailable");
    let error = stack.run_inference(ask(1_001, 1)).await.unwrap_err();
    assert_eq!(error.code(), "request_exceeds_quota");
    assert_eq!(metric(&layer, "rate_limit.decided_alone"), 6);
}

#[tokio::test]
async fn an_outbox_that_is_full_drops_and_counts() {
    let redis = OwnRedis::start();
    let small = |shared: SharedLimits| shared.reply_within(LONG).outbox(4);
    let layer = shared(&redis, Limits::per_caller(Quota::tokens_per_day(100_000)), small).await;
    let stack = speaking(layer.clone());
    let mut open = Vec::new();
    for _ in 0..400 {
        open.push(stack.run_inference(ask(100, 1)).await.unwrap());
    }
    redis.kill();
    let ended = Instant::now();
    drop(open);
    assert!(ended.elapsed() < Duration::from_secs(5), "nobody waits");
    // It takes what it sends out of the outbox, which holds four more.
    let dropped = metric(&layer, "rate_limit.settlements_dropped");
    assert!((200..400).contains(&dropped), "{dropped}");
}

#[test]
fn an_address_that_is_none_is_refused_without_being_repeated() {
    for url in [
        "redis:secret",
        "http://user:secret@host",
        "rediss://:secret@host",
        "",
    ] {
        let error = SharedLimits::at(url).unwrap_err();
        assert_eq!((error.kind(), error.code()), (ErrorKind::Invalid, "redis_url"));
        assert!(!format!("{error:?} {error}").contains("secret"), "{error:?}");
    }
    let shown = format!("{:?}", SharedLimits::at("redis://:secret@localhost/3").unwrap());
    assert!(!shown.contains("secret"), "{shown}");
}
