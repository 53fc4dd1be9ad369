//! An end to waiting, wherever the time goes.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use synapse_core::{
    Body, Chunk, Deadline, Error, ErrorKind, InferenceModule, ModuleExt, Output, layers::DeadlineLayer,
    testkit::Scripted,
};
use tokio::time::Instant;
use tower::{ServiceBuilder, limit::ConcurrencyLimitLayer};

use crate::fakes::{Log, ask, drained, slow};

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// The code of the error that came, and when.
async fn refused(module: &impl InferenceModule) -> (String, u64) {
    let start = Instant::now();
    let error = module.run_inference(ask()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    (error.code().to_owned(), start.elapsed().as_secs())
}

#[tokio::test(start_paused = true)]
async fn covers_the_wait_for_the_head() {
    let module = slow(secs(10), secs(0)).with(DeadlineLayer::new(secs(4)));
    assert_eq!(refused(&module).await, ("deadline_exceeded".to_owned(), 4));
    let module = slow(secs(10), secs(0)).with(DeadlineLayer::new(secs(60)).first_content_within(secs(3)));
    assert_eq!(refused(&module).await, ("deadline_exceeded".to_owned(), 3));
    let module = slow(secs(10), secs(0)).with(DeadlineLayer::new(secs(11)));
    assert!(module.run_inference(ask()).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn covers_the_wait_for_readiness() {
    let layers = ServiceBuilder::new()
        .layer(DeadlineLayer::new(secs(12)))
        .layer(ConcurrencyLimitLayer::new(1));
    let module = slow(secs(10), secs(0)).with(layers);
    let (first, second) = tokio::join!(module.run_inference(ask()), refused(&module));
    assert!(first.is_ok());
    assert_eq!(
        second,
        ("deadline_exceeded".to_owned(), 12),
        "ten of them in line"
    );
}

#[tokio::test(start_paused = true)]
async fn covers_the_body() {
    let log = Log::default();
    let start = Instant::now();
    let module = slow(secs(1), secs(100)).with(DeadlineLayer::new(secs(5)).first_content_within(secs(2)));
    let mut output = module.run_inference(ask()).await.unwrap();
    output.body.tap(log.tap());
    assert_eq!(drained(&mut output.body).await, ["a ", "error deadline_exceeded"]);
    assert_eq!(log.endings(), ["broken deadline_exceeded"]);
    assert_eq!(start.elapsed(), secs(5));
}

#[tokio::test(start_paused = true)]
async fn covers_a_body_that_is_always_ready_and_a_reader_that_is_slow() {
    let module = Scripted::new(|_| async {
        let words = stream::repeat_with(|| Ok(Chunk::event("data: a\n\n")));
        Ok(Output::new(Body::new(words)))
    })
    .with(DeadlineLayer::new(secs(5)));
    let mut output = module.run_inference(ask()).await.unwrap();
    for _ in 0..4 {
        tokio::time::sleep(secs(1)).await;
        assert!(output.body.next().await.unwrap().is_ok());
    }
    tokio::time::sleep(secs(2)).await;
    assert_eq!(
        output.body.next().await.unwrap().unwrap_err().code(),
        "deadline_exceeded"
    );
}

#[tokio::test(start_paused = true)]
async fn the_earlier_deadline_wins_and_the_module_knows() {
    let module = || {
        Scripted::new(|input| async move {
            let left = input.extensions().get::<Deadline>().unwrap().instant() - Instant::now();
            Err(Error::internal(left.as_secs().to_string(), "what was left"))
        })
    };
    let left = async |module: &dyn InferenceModule, given: Option<u64>| {
        let mut input = ask();
        if let Some(seconds) = given {
            input
                .extensions_mut()
                .insert(Deadline::at(Instant::now() + secs(seconds)));
        }
        module.run_inference(input).await.unwrap_err().code().to_owned()
    };
    let stack = module().with(DeadlineLayer::new(secs(9)));
    assert_eq!(left(&stack, None).await, "9");
    assert_eq!(left(&stack, Some(4)).await, "4");
    assert_eq!(left(&stack, Some(40)).await, "9");
    let nested = module()
        .with(DeadlineLayer::new(secs(3)))
        .with(DeadlineLayer::new(secs(9)));
    assert_eq!(left(&nested, None).await, "3");
}

#[tokio::test(start_paused = true)]
async fn an_unframed_body_stays_unframed() {
    let module = Scripted::new(|_| async {
        Ok(Output::new(Body::unframed(stream::iter([Ok(Chunk::event(
            "RIFF",
        ))]))))
    });
    let mut output = module
        .with(DeadlineLayer::new(secs(5)))
        .run_inference(ask())
        .await
        .unwrap();
    assert_eq!(drained(&mut output.body).await, ["RIFF"]);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_past_counting_is_none() {
    let module = slow(secs(1), secs(1)).with(DeadlineLayer::new(Duration::MAX));
    let mut output = module.run_inference(ask()).await.unwrap();
    assert_eq!(output.body.next().await.unwrap().unwrap().usage(), None);
    assert_eq!(drained(&mut output.body).await, ["b"]);
}
