//! Who is let in, who is told to wait, and for how long.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::StreamExt;
use synapse_core::{
    Body, Caller, Chunk, Delta, Error, ErrorKind, InferenceModule, Input, Message, ModuleExt, Output,
    RateLimitStatus, Retry, Task, testkit::Scripted,
};
use synapse_validator::{
    TokenCountLayer, Tokenizers,
    rate_limit::{Quota, RateLimitLayer},
};
use tokio::time::advance;
use tower::ServiceBuilder;

use crate::format::Format;

fn good() -> Scripted {
    Scripted::new(|_| async { Ok(Output::new(Body::whole("ok"))) })
}

/// Three tokens by estimate: `user` and `hello`.
fn ask(caller: &str, max_tokens: u32) -> Input {
    let mut input = Input::chat("m", [Message::user("hello")]);
    input.set_max_tokens(max_tokens).unwrap();
    input.extensions_mut().insert(Caller::new(caller));
    input
}

async fn refused(module: &impl InferenceModule, input: Input) -> Error {
    module
        .run_inference(input)
        .await
        .expect_err("the quota is used up")
}

#[tokio::test(start_paused = true)]
async fn refuses_beyond_the_quota_and_says_exactly_when_to_come_back() {
    let stack = good().with(RateLimitLayer::per_caller(Quota::requests_per_minute(7)));
    for _ in 0..7 {
        stack.run_inference(ask("alice", 1)).await.unwrap();
    }
    advance(Duration::from_secs(1)).await;
    let error = refused(&stack, ask("alice", 1)).await;
    assert_eq!(
        (error.kind(), error.code()),
        (ErrorKind::RateLimited, "rate_limited")
    );
    assert_eq!(error.message(), "the quota of 7 requests per minute is used up");
    // A seventh of a minute, less the second that passed, rounded up to the nanosecond.
    let Retry::After(wait) = error.retry() else {
        panic!("{error:?}")
    };
    assert_eq!(
        wait,
        Duration::from_nanos(60_000_000_000_u64.div_ceil(7) - 1_000_000_000)
    );
    advance(wait - Duration::from_nanos(1)).await;
    refused(&stack, ask("alice", 1)).await;
    advance(Duration::from_nanos(1)).await;
    stack.run_inference(ask("alice", 1)).await.unwrap();
    refused(&stack, ask("alice", 1)).await;
}

#[tokio::test(start_paused = true)]
async fn callers_do_not_share_and_the_nameless_do() {
    let stack = good().with(RateLimitLayer::per_caller(Quota::requests_per_day(1)));
    stack.run_inference(ask("alice", 1)).await.unwrap();
    stack.run_inference(ask("bob", 1)).await.unwrap();
    refused(&stack, ask("alice", 1)).await;
    let nameless = || Input::chat("m", [Message::user("hello")]);
    stack.run_inference(nameless()).await.unwrap();
    refused(&stack, nameless()).await;
}

#[tokio::test(start_paused = true)]
async fn a_request_that_one_window_refuses_takes_nothing_from_the_other() {
    let quota = Quota::requests_per_day(2).and(Quota::tokens_per_day(100));
    // Everything reserved is used: the reply is as long as it may be.
    let stack = Scripted::new(|input| async move {
        let tokens = input.max_tokens()?.unwrap_or(0) as usize;
        let reply = Chunk::delta(Delta::text("word".repeat(tokens))).into_last();
        Ok(Output::new(Body::once(reply)))
    })
    .with(RateLimitLayer::per_caller(quota));
    let used = stack.run_inference(ask("alice", 90)).await.unwrap();
    used.body.count().await;
    for _ in 0..5 {
        let error = refused(&stack, ask("alice", 50)).await;
        assert_eq!(error.message(), "the quota of 100 tokens per day is used up");
    }
    stack.run_inference(ask("alice", 4)).await.unwrap();
    assert_eq!(
        refused(&stack, ask("alice", 1)).await.message(),
        "the quota of 2 requests per day is used up"
    );
}

#[tokio::test(start_paused = true)]
async fn what_the_quota_never_holds_is_no_use_retrying() {
    let stack = good().with(RateLimitLayer::per_caller(Quota::tokens_per_day(100)));
    let error = refused(&stack, ask("alice", 98)).await;
    assert_eq!(
        (error.kind(), error.code(), error.retry()),
        (ErrorKind::Invalid, "request_exceeds_quota", Retry::Never)
    );
    let mut many = Input::from_request(
        synapse_core::Task::CHAT,
        synapse_core::Request::new("m", synapse_core::Prompt::Messages(vec![Message::user("hello")]))
            .with_params(|params| (params.n, params.max_tokens) = (u32::MAX, Some(u32::MAX))),
    );
    many.extensions_mut().insert(Caller::new("alice"));
    assert_eq!(refused(&stack, many).await.code(), "request_exceeds_quota");
    stack.run_inference(ask("alice", 97)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn caps_a_reply_that_has_no_cap() {
    async fn check(quota: Quota, expect: Option<u32>) {
        let seen = Arc::new(Mutex::new(None));
        let asked = seen.clone();
        let stack = Scripted::new(move |input| {
            *asked.lock().unwrap() = input.max_tokens().unwrap();
            async { Ok(Output::new(Body::whole("ok"))) }
        })
        .with(RateLimitLayer::per_caller(quota));
        stack
            .run_inference(Input::chat("m", [Message::user("hello")]))
            .await
            .unwrap();
        assert_eq!(*seen.lock().unwrap(), expect, "{quota}");
    }
    check(Quota::tokens_per_day(200_000), Some(4096)).await;
    check(Quota::tokens_per_day(1_000), Some(997)).await;
    check(Quota::requests_per_day(1_000), None).await;
}

#[tokio::test(start_paused = true)]
async fn a_body_that_cannot_be_capped_is_refused() {
    let input = Format::leaked().input(Task::CHAT, "application/octet-stream", "bytes");
    let stack = good().with(RateLimitLayer::per_caller(Quota::tokens_per_day(1_000)));
    assert_eq!(refused(&stack, input).await.kind(), ErrorKind::Unsupported);
}

#[tokio::test(start_paused = true)]
async fn the_head_says_what_is_left() {
    let quota = Quota::requests_per_minute(60).and(Quota::tokens_per_minute(600));
    let stack = good().with(RateLimitLayer::per_caller(quota));
    let output = stack.run_inference(ask("alice", 97)).await.unwrap();
    let status = *output.head.extensions().get::<RateLimitStatus>().unwrap();
    let (requests, tokens) = (status.requests.unwrap(), status.tokens.unwrap());
    assert_eq!(
        (requests.limit(), requests.remaining(), requests.reset().as_secs()),
        (60, 59, 1)
    );
    assert_eq!(
        (tokens.limit(), tokens.remaining(), tokens.reset().as_secs()),
        (600, 500, 10)
    );
}

#[tokio::test(start_paused = true)]
async fn callers_are_bounded_and_those_with_a_full_quota_make_room() {
    let layer = RateLimitLayer::per_caller(Quota::requests_per_minute(1)).max_callers(16);
    let stack = good().with(layer.clone()).attach(layer);
    let mut full = 0;
    for caller in 0..200 {
        if let Err(error) = stack.run_inference(ask(&format!("caller-{caller}"), 1)).await {
            assert_eq!(
                (error.kind(), error.code()),
                (ErrorKind::Overloaded, "too_many_callers")
            );
            full += 1;
        }
    }
    assert!(full >= 184);
    assert!(stack.get_metrics().get("rate_limit.callers", &[]) <= Some(16.0));
    advance(Duration::from_secs(61)).await;
    stack.run_inference(ask("caller-new", 1)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_quota_of_nothing_says_so() {
    async fn check(quota: Quota, message: &str) {
        let stack = good().with(RateLimitLayer::per_caller(quota));
        let error = refused(&stack, ask("alice", 1)).await;
        assert_eq!(
            (error.kind(), error.code(), error.retry()),
            (ErrorKind::Forbidden, "quota_is_zero", Retry::Never)
        );
        assert!(error.message().starts_with(message), "{error}");
    }
    check(
        Quota::requests_per_minute(0),
        "the quota is 0 requests per minute",
    )
    .await;
    check(Quota::tokens_per_day(0), "the quota is 0 tokens per day").await;
    let both = Quota::requests_per_minute(60).and(Quota::tokens_per_day(0));
    check(both, "the quota is 0 tokens per day").await;
}

#[tokio::test(start_paused = true)]
async fn an_uncapped_reply_is_capped_by_the_full_window_and_not_by_what_is_left() {
    let stack = good().with(RateLimitLayer::per_caller(Quota::tokens_per_day(1_000)));
    let _under_way = stack.run_inference(ask("alice", 500)).await.unwrap();
    let mut uncapped = Input::chat("m", [Message::user("hello")]);
    uncapped.extensions_mut().insert(Caller::new("alice"));
    assert_eq!(refused(&stack, uncapped).await.code(), "rate_limited");
    stack.run_inference(ask("alice", 400)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_completion_of_several_prompts_is_read_once_and_reserved_for_each() {
    async fn check(counted: bool, reads: usize) {
        let format = Format::leaked();
        let limit = RateLimitLayer::per_caller(Quota::tokens_per_day(1_000));
        let tokenizers = Tokenizers::new().with("m", std::sync::Arc::new(crate::format::Bytes));
        let count = tower::util::option_layer(counted.then(|| TokenCountLayer::new(tokenizers)));
        let stack = good().with(ServiceBuilder::new().layer(count).layer(limit));
        let mut input = format.input(Task::TEXT_COMPLETION, "application/json", "four");
        input.set_max_tokens(100).unwrap();
        let output = stack.run_inference(input).await.unwrap();
        let tokens = output.head.extensions().get::<RateLimitStatus>().unwrap().tokens;
        let prompt = if counted { 6 } else { 1 };
        assert_eq!(tokens.unwrap().remaining(), 1_000 - 300 - prompt);
        assert_eq!(format.reads(), reads, "counted: {counted}");
    }
    check(true, 1).await;
    check(false, 1).await;
}

#[tokio::test(start_paused = true)]
async fn another_quota_holds_at_once_and_what_was_used_stays_used() {
    let layer = RateLimitLayer::per_caller(Quota::requests_per_minute(2));
    let stack = good().with(layer.clone());
    let served = async |requests: usize| {
        for _ in 0..requests {
            stack.run_inference(ask("alice", 1)).await.unwrap();
        }
        refused(&stack, ask("alice", 1)).await.message().to_owned()
    };
    assert_eq!(served(2).await, "the quota of 2 requests per minute is used up");
    layer.set_quota(Quota::requests_per_minute(5));
    assert_eq!(served(3).await, "the quota of 5 requests per minute is used up");
    // Never less than nothing: after an hour all of the smaller window is there.
    layer.set_quota(Quota::requests_per_hour(1));
    assert_eq!(served(0).await, "the quota of 1 requests per hour is used up");
    advance(Duration::from_secs(3600)).await;
    assert_eq!(served(1).await, "the quota of 1 requests per hour is used up");
    layer.set_quota(Quota::tokens_per_day(10));
    stack.run_inference(ask("alice", 1)).await.unwrap();
    // A window that was not there begins with what is known to be used: the hour's request.
    layer.set_quota(Quota::requests_per_minute(2));
    served(1).await;
}
