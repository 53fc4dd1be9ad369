//! Redis' machine has its wall clock set: at most one burst more, and time never runs back.

use std::time::Duration;

use crate::places::{InRedis, Place, ask, settled, speaking};
use synapse_core::{InferenceModule, Retry};
use synapse_validator::rate_limit::{Limits, Quota};

const HOUR: Duration = Duration::from_hours(1);

/// How many of twenty requests are let in, and how long the last is told to wait.
async fn let_in(stack: &impl InferenceModule) -> (usize, Retry) {
    let mut count = 0;
    let mut retry = Retry::Never;
    for _ in 0..20 {
        match stack.run_inference(ask(10, 7)).await {
            Ok(_) => count += 1,
            Err(error) => retry = error.retry(),
        }
    }
    (count, retry)
}

#[tokio::test]
async fn an_hour_forward_gives_one_burst_and_an_hour_back_nothing() {
    let place = InRedis::start();
    let layer = place
        .layer(Limits::per_caller(Quota::requests_per_minute(6)))
        .await;
    let stack = speaking(layer);
    let ten_seconds = Retry::After(Duration::from_secs(10));
    assert_eq!(let_in(&stack).await, (6, ten_seconds));
    place.jump(|now| now + HOUR);
    assert_eq!(let_in(&stack).await, (6, ten_seconds));
    place.jump(|now| now - HOUR);
    assert_eq!(let_in(&stack).await, (0, ten_seconds));
    // It did not stop either: from where it is, time goes on.
    place.pass(Duration::from_secs(10)).await;
    assert_eq!(let_in(&stack).await, (1, ten_seconds));
    place.jump(|now| now - HOUR);
    assert_eq!(let_in(&stack).await, (0, ten_seconds));
    place.pass(Duration::from_secs(20)).await;
    assert_eq!(let_in(&stack).await, (2, ten_seconds));
}

#[tokio::test]
async fn a_budget_begins_once_with_its_day_however_often_midnight_comes() {
    let place = InRedis::start();
    let layer = place
        .layer(Limits::per_caller(Quota::token_budget_per_day(100)))
        .await;
    let stack = speaking(layer.clone());
    let open = stack.run_inference(ask(60, 1)).await.unwrap();
    let refused = async |tokens| stack.run_inference(ask(tokens, 1)).await.unwrap_err();
    assert_eq!(refused(50).await.retry(), Retry::After(HOUR));
    // An hour forward, and it is midnight.
    place.jump(|now| now + HOUR);
    let today = stack.run_inference(ask(80, 1)).await.unwrap();
    place.jump(|now| now - HOUR);
    // The new day goes on, and until it is over it takes an hour longer.
    assert_eq!(refused(50).await.retry(), Retry::After(25 * HOUR));
    drop(open);
    settled(&layer).await;
    assert_eq!(refused(50).await.code(), "budget_exhausted");
    place.pass(HOUR).await;
    assert_eq!(refused(50).await.retry(), Retry::After(24 * HOUR));
    drop(today);
    settled(&layer).await;
    stack.run_inference(ask(50, 1)).await.unwrap();
}
