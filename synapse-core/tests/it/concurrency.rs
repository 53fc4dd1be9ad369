//! A place is held until the body ends, however it does.

use std::{future::Future, time::Duration};

use futures_util::{FutureExt, StreamExt, stream};
use synapse_core::{
    Attached, Body, Error, ErrorKind, InferenceModule, ModuleCapabilities, ModuleExt, Output,
    layers::ConcurrencyLayer, testkit::Scripted,
};
use tokio::time::timeout;

use crate::fakes::{ask, body_of, failure, last, text};

/// Runs one request against a layer with one place, and sees the place come back once `end` is through with it.
async fn check<F>(
    answer: impl Fn() -> Result<Output, Error> + Send + Sync + 'static,
    end: impl FnOnce(Output) -> F,
) where
    F: Future<Output = Option<Body>>,
{
    let layer = ConcurrencyLayer::new(1);
    let module = Scripted::new(move |_| std::future::ready(answer())).with(layer.clone());
    if let Ok(output) = module.run_inference(ask()).await {
        assert_eq!(layer.in_flight(), 1);
        let refused = module.run_inference(ask()).await.unwrap_err();
        assert_eq!(
            (refused.kind(), refused.code()),
            (ErrorKind::Overloaded, "overloaded")
        );
        let kept = end(output).await;
        assert_eq!(layer.in_flight(), 0, "the place is free at the ending: {kept:?}");
    }
    assert_eq!(layer.in_flight(), 0);
}

async fn read(mut output: Output) -> Option<Body> {
    while output
        .body
        .next()
        .await
        .is_some_and(|chunk| chunk.is_ok_and(|chunk| !chunk.is_last()))
    {}
    Some(output.body)
}

#[tokio::test]
async fn the_place_comes_back_however_the_request_ends() {
    let of =
        |items: fn() -> Vec<Result<synapse_core::Chunk, Error>>| move || Ok(Output::new(body_of(items())));
    check(of(|| vec![Ok(text("a")), Ok(last("b"))]), read).await;
    check(of(|| vec![Ok(text("a")), Err(failure("cut"))]), read).await;
    check(of(|| vec![Ok(text("a"))]), read).await;
    check(of(|| vec![Ok(last("a"))]), async |output| {
        drop(output);
        None
    })
    .await;
    check(
        || {
            Ok(Output::new(Body::new(stream::once(async {
                panic!("a fault injected into a body")
            }))))
        },
        read,
    )
    .await;
    check(|| Err(failure("refused")), async |_| None).await;
    check(|| panic!("a fault injected into a module"), async |_| None).await;
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_leaves_gives_the_place_back() {
    let layer = ConcurrencyLayer::new(1);
    let module = Scripted::new(|_| std::future::pending()).with(layer.clone());
    let call = module.run_inference(ask());
    assert_eq!(layer.in_flight(), 0, "nothing is held before the first poll");
    assert!(timeout(Duration::from_secs(1), call).await.is_err());
    assert_eq!(layer.in_flight(), 0);
    let mut call = module.run_inference(ask());
    assert!((&mut call).now_or_never().is_none());
    assert_eq!(layer.in_flight(), 1);
    drop(call);
    assert_eq!(layer.in_flight(), 0);
}

#[test]
fn the_narrowest_limit_is_what_a_stack_claims() {
    let mut claims = ModuleCapabilities::new("m");
    ConcurrencyLayer::new(8).capabilities(&mut claims);
    assert_eq!(claims.concurrency, Some(8));
    ConcurrencyLayer::new(4).capabilities(&mut claims);
    ConcurrencyLayer::new(6).capabilities(&mut claims);
    assert_eq!(claims.concurrency, Some(4));
}
