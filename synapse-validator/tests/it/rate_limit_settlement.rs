//! Every request is settled once, however it ends.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::{StreamExt, stream};
use synapse_core::{
    Body, Chunk, Deadline, Delta, Error, FinishReason, InferenceModule, Input, Message, ModuleExt, Output,
    RateLimitStatus, Stack, from_fn, layers::DeadlineLayer, testkit::Scripted,
};
use synapse_validator::rate_limit::{Quota, RateLimitLayer};
use tokio::time::{Instant, timeout};
use tower::ServiceBuilder;

const REQUESTS: u64 = 10;
const TOKENS: u64 = 1_000;
/// `user` and `hello`, at four bytes a token.
const PROMPT: u64 = 3;

fn limit() -> RateLimitLayer {
    RateLimitLayer::per_caller(Quota::requests_per_day(REQUESTS).and(Quota::tokens_per_day(TOKENS)))
}

fn ask(max_tokens: u32) -> Input {
    let mut input = Input::chat("scripted", [Message::user("hello")]);
    input.set_max_tokens(max_tokens).unwrap();
    input
}

/// The probe that [`used`] sends: no reply, so it costs one request and its prompt.
fn is_probe(input: &Input) -> bool {
    input.max_tokens().unwrap() == Some(0)
}

/// Requests and tokens that were used before this question.
async fn used(stack: &impl InferenceModule) -> (u64, u64) {
    let output = stack.run_inference(ask(0)).await.expect("the probe");
    let status = *output
        .head
        .extensions()
        .get::<RateLimitStatus>()
        .expect("a status");
    (
        REQUESTS - 1 - status.requests.unwrap().remaining(),
        TOKENS - PROMPT - status.tokens.unwrap().remaining(),
    )
}

fn word(text: &str) -> Result<Chunk, Error> {
    Ok(Chunk::delta(Delta::text(text)))
}

fn end() -> Result<Chunk, Error> {
    Ok(Chunk::delta(Delta::finish(FinishReason::Stop)).into_last())
}

fn broken() -> Error {
    Error::broken("scripted", "a scripted failure")
}

/// A module that answers `chunks`, and probes with nothing.
fn saying(chunks: Vec<Result<Chunk, Error>>) -> Scripted {
    Scripted::new(move |input| {
        let chunks = if is_probe(&input) {
            vec![end()]
        } else {
            chunks.clone()
        };
        async move {
            let mut body = Body::new(stream::iter(chunks));
            body.peek().await?;
            Ok(Output::new(body))
        }
    })
}

fn limited(module: Scripted) -> Stack<impl synapse_core::InferenceService, Scripted> {
    module.with(limit())
}

#[tokio::test(start_paused = true)]
async fn a_complete_reply_costs_its_prompt_and_its_text() {
    let stack = limited(saying(vec![word("12345678"), word("12345678"), end()]));
    let output = stack.run_inference(ask(100)).await.unwrap();
    assert_eq!(output.body.count().await, 3);
    assert_eq!(used(&stack).await, (1, PROMPT + 4));
}

#[tokio::test(start_paused = true)]
async fn while_it_is_under_way_all_of_it_is_reserved() {
    let stack = limited(saying(vec![word("12345678"), end()]));
    let output = stack.run_inference(ask(100)).await.unwrap();
    assert_eq!(used(&stack).await, (1, PROMPT + 100));
    drop(output);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_mid_stream_pays_for_what_it_got() {
    let stack = limited(saying(vec![word("12345678"), word("12345678"), end()]));
    let mut output = stack.run_inference(ask(100)).await.unwrap();
    output.body.next().await.unwrap().unwrap();
    drop(output);
    assert_eq!(used(&stack).await, (1, PROMPT + 2));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_after_the_last_chunk_is_settled_once() {
    let stack = limited(saying(vec![word("12345678"), end()]));
    let mut output = stack.run_inference(ask(100)).await.unwrap();
    while !output.body.next().await.unwrap().unwrap().is_last() {}
    drop(output);
    assert_eq!(used(&stack).await, (1, PROMPT + 2));
}

#[tokio::test(start_paused = true)]
async fn a_reply_that_breaks_costs_what_came() {
    let stack = limited(saying(vec![word("12345678"), Err(broken())]));
    let output = stack.run_inference(ask(100)).await.unwrap();
    assert_eq!(output.body.count().await, 2);
    assert_eq!(used(&stack).await, (1, PROMPT + 2));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_before_the_head_pays_for_its_prompt() {
    let stack = limited(Scripted::new(|input| async move {
        if !is_probe(&input) {
            std::future::pending::<()>().await;
        }
        Ok(Output::new(Body::new(stream::iter([end()]))))
    }));
    let waited = timeout(Duration::from_millis(10), stack.run_inference(ask(100))).await;
    assert!(waited.is_err());
    assert_eq!(used(&stack).await, (1, PROMPT));
}

/// Of a client who says how long he waits, and of one who does not, with a node that waits for 10 seconds.
#[tokio::test(start_paused = true)]
async fn a_client_whose_own_deadline_passed_pays_for_its_prompt() {
    for (own, expect) in [(Some(1), (1, PROMPT)), (Some(100), (0, 0)), (None, (0, 0))] {
        let slow = Scripted::new(|input| async move {
            if !is_probe(&input) {
                std::future::pending::<()>().await;
            }
            Ok(Output::new(Body::new(stream::iter([end()]))))
        });
        let deadline = DeadlineLayer::new(Duration::from_secs(10));
        let stack = slow.with(ServiceBuilder::new().layer(limit()).layer(deadline));
        let mut input = ask(100);
        if let Some(seconds) = own {
            let at = Instant::now() + Duration::from_secs(seconds);
            input.extensions_mut().insert(Deadline::at(at));
        }
        let error = stack.run_inference(input).await.unwrap_err();
        assert_eq!(error.code(), "deadline_exceeded");
        assert_eq!(used(&stack).await, expect, "{own:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_failure_before_the_reply_costs_who_caused_it() {
    async fn check(error: Error, expect: (u64, u64)) {
        let stack = limited(saying(vec![Err(error.clone())]));
        stack.run_inference(ask(100)).await.unwrap_err();
        assert_eq!(used(&stack).await, expect, "{error}");
    }
    check(broken(), (0, 0)).await;
    check(Error::unavailable("scripted", "nobody is there"), (0, 0)).await;
    check(Error::invalid("scripted", "the context is too long"), (1, 0)).await;
    check(Error::unsupported("scripted", "no tools"), (1, 0)).await;
}

#[tokio::test(start_paused = true)]
async fn a_layer_that_panics_costs_the_caller_nothing() {
    let stack = saying(vec![end()]).with(ServiceBuilder::new().layer(limit()).layer(from_fn(
        |input: Input, next| async move {
            assert!(is_probe(&input), "scripted");
            next.run(input).await
        },
    )));
    let error = stack.run_inference(ask(100)).await.unwrap_err();
    assert_eq!(error.code(), "module_panicked");
    assert_eq!(used(&stack).await, (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_body_that_panics_costs_what_came() {
    let stack = limited(Scripted::new(|input| async move {
        if is_probe(&input) {
            return Ok(Output::new(Body::new(stream::iter([end()]))));
        }
        let chunks = stream::iter([word("12345678")]).chain(stream::once(async { panic!("scripted") }));
        Ok(Output::new(Body::new(chunks)))
    }));
    let output = stack.run_inference(ask(100)).await.unwrap();
    assert_eq!(output.body.count().await, 2);
    assert_eq!(used(&stack).await, (1, PROMPT + 2));
}

#[tokio::test(start_paused = true)]
async fn retries_inside_are_reserved_once() {
    let tries = Arc::new(AtomicUsize::new(0));
    let counted = tries.clone();
    let module = Scripted::new(move |input| {
        let first = !is_probe(&input) && counted.fetch_add(1, Ordering::Relaxed) < 2;
        async move {
            if first {
                return Err(broken());
            }
            Ok(Output::new(Body::new(stream::iter([word("12345678"), end()]))))
        }
    });
    let again = from_fn(|input: Input, next: synapse_core::AnyNext| async move {
        loop {
            match next.clone().run(input.clone()).await {
                Err(error) if error.retry() == synapse_core::Retry::Elsewhere => {}
                answer => return answer,
            }
        }
    });
    let stack = module.with(ServiceBuilder::new().layer(limit()).layer(again));
    let output = stack.run_inference(ask(100)).await.unwrap();
    output.body.count().await;
    assert_eq!(tries.load(Ordering::Relaxed), 3);
    assert_eq!(used(&stack).await, (1, PROMPT + 2));
}

#[tokio::test(start_paused = true)]
async fn a_miner_that_ignores_the_cap_costs_no_more_than_it() {
    let long = "word".repeat(500);
    let stack = limited(saying(vec![word(&long), end()]));
    let output = stack.run_inference(ask(100)).await.unwrap();
    output.body.count().await;
    assert_eq!(used(&stack).await, (1, PROMPT + 100));
}
