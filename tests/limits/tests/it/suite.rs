//! What a gateway's users meet, whichever place keeps the accounts. The functions here are the behaviour; each runs over
//! both.

use std::time::Duration;

use crate::places::{BEGAN, InProcess, InRedis, PROMPT, Place, ask, settled, speaking};
use futures_util::StreamExt;
use synapse_core::{InferenceModule, Input, Output, RateLimitStatus, Retry};
use synapse_validator::rate_limit::{Limits, Quota};

macro_rules! over_both {
    ($($name:ident),* $(,)?) => {
        mod in_process {
            $(
                #[tokio::test(start_paused = true)]
                async fn $name() {
                    super::$name(&super::InProcess).await;
                }
            )*
        }
        mod in_redis {
            $(
                #[tokio::test]
                async fn $name() {
                    super::$name(&super::InRedis::start()).await;
                }
            )*
        }
    };
}

over_both! {
    a_reply_is_charged_as_far_as_it_came,
    what_one_window_refuses_is_taken_from_none,
    the_wait_is_exact,
    a_budget_lasts_until_midnight,
    an_amount_that_changes_keeps_what_was_used,
    a_window_that_is_added_drains_although_it_refuses,
    large_amounts_are_exact,
}

fn left(output: &Output) -> u64 {
    let status = output
        .head
        .extensions()
        .get::<RateLimitStatus>()
        .expect("a status");
    status.tokens.expect("of tokens").remaining()
}

async fn a_reply_is_charged_as_far_as_it_came(place: &impl Place) {
    let layer = place
        .layer(Limits::per_caller(Quota::tokens_per_day(1_000)))
        .await;
    let stack = speaking(layer.clone());
    let probe = async || {
        settled(&layer).await;
        let probe = stack.run_inference(ask(PROMPT, 0)).await.unwrap();
        left(&probe)
    };
    // All of it.
    let output = stack.run_inference(ask(100, 10)).await.unwrap();
    assert_eq!(left(&output), 900);
    assert_eq!(output.body.count().await, 10);
    assert_eq!(probe().await, 1_000 - 13 - 3);
    // Two words, and the client leaves.
    let mut output = stack.run_inference(ask(100, 10)).await.unwrap();
    for _ in 0..2 {
        output.body.next().await.unwrap().unwrap();
    }
    drop(output);
    assert_eq!(probe().await, 1_000 - 13 - 3 - 5 - 3);
}

async fn what_one_window_refuses_is_taken_from_none(place: &impl Place) {
    let limits = Limits::per_caller(Quota::requests_per_day(3).and(Quota::tokens_per_day(100)))
        .for_everybody(Quota::requests_per_minute(100).and(Quota::token_budget_per_month(1_000)));
    let stack = speaking(place.layer(limits).await);
    let open = stack.run_inference(ask(90, 1)).await.unwrap();
    for _ in 0..20 {
        let error = stack.run_inference(ask(50, 1)).await.unwrap_err();
        assert_eq!(error.message(), "the quota of 100 tokens per day is used up");
    }
    let more = stack.run_inference(ask(5, 1)).await.unwrap();
    let last = stack.run_inference(ask(5, 1)).await.unwrap();
    assert_eq!(
        stack.run_inference(ask(5, 1)).await.unwrap_err().message(),
        "the quota of 3 requests per day is used up"
    );
    drop((open, more, last));
}

async fn the_wait_is_exact(place: &impl Place) {
    let stack = speaking(
        place
            .layer(Limits::per_caller(Quota::requests_per_minute(8)))
            .await,
    );
    for _ in 0..8 {
        stack.run_inference(ask(10, 1)).await.unwrap();
    }
    place.pass(Duration::from_secs(1)).await;
    let wait = Duration::from_micros(6_500_000);
    let error = stack.run_inference(ask(10, 1)).await.unwrap_err();
    assert_eq!(error.retry(), Retry::After(wait));
    place.pass(wait - Duration::from_micros(1)).await;
    stack.run_inference(ask(10, 1)).await.unwrap_err();
    place.pass(Duration::from_micros(1)).await;
    stack.run_inference(ask(10, 1)).await.unwrap();
    stack.run_inference(ask(10, 1)).await.unwrap_err();
}

async fn a_budget_lasts_until_midnight(place: &impl Place) {
    let layer = place
        .layer(Limits::per_caller(Quota::token_budget_per_month(100)))
        .await;
    let stack = speaking(layer.clone());
    let open = stack.run_inference(ask(60, 1)).await.unwrap();
    let error = stack.run_inference(ask(41, 1)).await.unwrap_err();
    assert_eq!(error.code(), "budget_exhausted");
    assert_eq!(error.retry(), Retry::After(Duration::from_hours(1)));
    assert_eq!(BEGAN.as_secs() % 86_400, 23 * 3_600);
    place.pass(Duration::from_secs(3_599)).await;
    stack.run_inference(ask(41, 1)).await.unwrap_err();
    place.pass(Duration::from_secs(1)).await;
    let december = stack.run_inference(ask(60, 1)).await.unwrap();
    // November's gives nothing back to December.
    drop(open);
    settled(&layer).await;
    stack.run_inference(ask(41, 1)).await.unwrap_err();
    drop(december);
    settled(&layer).await;
    stack.run_inference(ask(97, 1)).await.unwrap();
}

async fn an_amount_that_changes_keeps_what_was_used(place: &impl Place) {
    let layer = place
        .layer(Limits::per_caller(Quota::requests_per_minute(2)))
        .await;
    let stack = speaking(layer.clone());
    let served = async |requests: usize| {
        for _ in 0..requests {
            stack.run_inference(ask(10, 1)).await.unwrap();
        }
        stack
            .run_inference(ask(10, 1))
            .await
            .unwrap_err()
            .message()
            .to_owned()
    };
    assert_eq!(served(2).await, "the quota of 2 requests per minute is used up");
    layer.set_quota(Quota::requests_per_minute(5));
    assert_eq!(served(3).await, "the quota of 5 requests per minute is used up");
    layer.set_quota(Quota::requests_per_hour(1));
    assert_eq!(served(0).await, "the quota of 1 requests per hour is used up");
    place.pass(Duration::from_hours(1)).await;
    assert_eq!(served(1).await, "the quota of 1 requests per hour is used up");
    layer.set_quota(Quota::UNLIMITED);
    stack.run_inference(ask(10, 1)).await.unwrap();
}

async fn a_window_that_is_added_drains_although_it_refuses(place: &impl Place) {
    let day = Quota::requests_per_day(1_000);
    let layer = place.layer(Limits::per_caller(day)).await;
    let stack = speaking(layer.clone());
    for _ in 0..20 {
        stack.run_inference(ask(10, 1)).await.unwrap();
    }
    layer.set_quota(day.and(Quota::requests_per_minute(10)));
    // It begins with what is known to be used.
    stack.run_inference(ask(10, 1)).await.unwrap_err();
    place.pass(Duration::from_secs(30)).await;
    for _ in 0..5 {
        stack.run_inference(ask(10, 1)).await.unwrap();
    }
    stack.run_inference(ask(10, 1)).await.unwrap_err();
}

async fn large_amounts_are_exact(place: &impl Place) {
    // A prime, so that nothing divides.
    let amount = 1_000_000_000_039;
    let layer = place
        .layer(Limits::per_caller(Quota::tokens_per_day(amount)))
        .await;
    let stack = speaking(layer.clone());
    let many = |replies: u32| -> Input {
        let request = synapse_core::Request::new(
            "m",
            synapse_core::Prompt::Messages(vec![synapse_core::Message::user("hello")]),
        )
        .with_params(|params| (params.n, params.max_tokens) = (replies, Some(1_000_000_000)));
        Input::from_request(synapse_core::Task::CHAT, request)
    };
    let open = stack.run_inference(many(1_000)).await.unwrap();
    assert_eq!(left(&open), 39 - 3);
    place.pass(Duration::from_micros(7)).await;
    // 7 µs × amount / day: 81 tokens and a bit.
    let next = stack.run_inference(ask(PROMPT, 0)).await.unwrap();
    assert_eq!(left(&next), 39 - 3 + 81 - 3);
    drop(open);
    settled(&layer).await;
    let all = stack.run_inference(ask(PROMPT, 0)).await.unwrap();
    // What had come back by then does so once: nothing is above the amount.
    assert_eq!(left(&all), amount - 3);
}
