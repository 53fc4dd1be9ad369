//! tower's own layers around a module: what each covers, and what it does not.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use futures_util::future::{Ready, ready};
use synapse_core::{
    Body, Error, ErrorKind, InferenceModule, Input, ModuleExt, Output, Retry, from_fn, testkit::Scripted,
};
use tokio::time::Instant;
use tower::{
    ServiceBuilder,
    buffer::BufferLayer,
    limit::{ConcurrencyLimitLayer, RateLimitLayer},
    load_shed::LoadShedLayer,
    retry::{Policy, RetryLayer},
    timeout::TimeoutLayer,
};

use crate::fakes::{ask, drained, failure, last, slow, text};

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn ten() -> Scripted {
    slow(secs(10), secs(100))
}

type Answer = Result<Output, Error>;

async fn two(module: &impl InferenceModule) -> (Answer, Answer) {
    tokio::join!(module.run_inference(ask()), module.run_inference(ask()))
}

#[tokio::test(start_paused = true)]
async fn timeout_covers_the_head() {
    let error = ten()
        .with(TimeoutLayer::new(secs(1)))
        .run_inference(ask())
        .await
        .unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Timeout, "timeout"));
}

#[tokio::test(start_paused = true)]
async fn timeout_covers_neither_the_body_nor_the_wait_for_readiness() {
    let layers = ServiceBuilder::new()
        .layer(TimeoutLayer::new(secs(11)))
        .layer(ConcurrencyLimitLayer::new(1));
    let module = ten().with(layers);
    let start = Instant::now();
    let (one, other) = two(&module).await;
    assert!(one.is_ok());
    assert_eq!(
        start.elapsed(),
        secs(20),
        "the second waited ten seconds that were not counted"
    );
    assert_eq!(drained(&mut other.unwrap().body).await, ["a ", "b"]);
    assert_eq!(start.elapsed(), secs(120));
}

#[tokio::test(start_paused = true)]
async fn load_shed_sheds_in_the_builder_of_what_it_sheds() {
    let layers = ServiceBuilder::new()
        .layer(LoadShedLayer::new())
        .layer(from_fn(|input, next| async move { next.run(input).await }))
        .layer(ConcurrencyLimitLayer::new(1));
    let (one, other) = two(&ten().with(layers)).await;
    assert!(one.is_ok(), "layers of ours between them forward readiness");
    let error = other.unwrap_err();
    assert_eq!(
        (error.kind(), error.code()),
        (ErrorKind::Overloaded, "overloaded")
    );
}

#[tokio::test(start_paused = true)]
async fn load_shed_never_sheds_across_a_with() {
    let (one, other) = two(&ten()
        .with(ConcurrencyLimitLayer::new(1))
        .with(LoadShedLayer::new()))
    .await;
    assert!(
        one.is_ok() && other.is_ok(),
        "each with is a boundary of readiness: the second waited"
    );
}

#[tokio::test(start_paused = true)]
async fn concurrency_limit_frees_its_permit_at_the_head() {
    let module = ten().with(ConcurrencyLimitLayer::new(1));
    let start = Instant::now();
    let first = module.run_inference(ask()).await.unwrap();
    module.run_inference(ask()).await.unwrap();
    assert_eq!(
        start.elapsed(),
        secs(20),
        "the body of the first was not waited for"
    );
    drop(first);
}

#[tokio::test(start_paused = true)]
async fn buffer_lets_our_error_through_from_behind_its_arc() {
    let module = Scripted::new(|_| async { Err(Error::invalid("refused", "refused")) });
    let layers = ServiceBuilder::new()
        .layer(BufferLayer::<Input>::new(4))
        .layer(ConcurrencyLimitLayer::new(1));
    let error = module.with(layers).run_inference(ask()).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Invalid, "refused"));
}

/// A service whose readiness fails for good, as a client's does whose connection is gone.
#[derive(Clone)]
struct NeverReady;

impl tower::Service<Input> for NeverReady {
    type Response = Output;
    type Error = Error;
    type Future = Ready<Answer>;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Error>> {
        std::task::Poll::Ready(Err(Error::unavailable("gone", "the connection is gone")))
    }

    fn call(&mut self, _: Input) -> Self::Future {
        unreachable!("it is never ready")
    }
}

#[tokio::test(start_paused = true)]
async fn buffer_hands_the_same_error_to_everybody_and_stays_broken() {
    let layers = ServiceBuilder::new()
        .layer(BufferLayer::<Input>::new(4))
        .layer(tower::layer::layer_fn(|_| NeverReady));
    let module = ten().with(layers);
    let (one, other) = two(&module).await;
    for answer in [one, other, module.run_inference(ask()).await] {
        let error = answer.unwrap_err();
        assert_eq!((error.kind(), error.code()), (ErrorKind::Unavailable, "gone"));
    }
}

#[tokio::test(start_paused = true)]
async fn rate_limit_needs_a_buffer_and_is_then_one_for_all() {
    let module = Scripted::new(|_| async { Ok(Output::new(Body::whole("x"))) });
    let layers = ServiceBuilder::new()
        .layer(BufferLayer::<Input>::new(4))
        .layer(RateLimitLayer::new(1, secs(5)));
    let module = module.with(layers);
    let start = Instant::now();
    for _ in 0..3 {
        module.run_inference(ask()).await.unwrap();
    }
    assert_eq!(start.elapsed(), secs(10));
}

/// Tries again where an error says that it can help.
#[derive(Clone)]
struct Thrice(usize);

impl Policy<Input, Output, Error> for Thrice {
    type Future = Ready<()>;

    fn retry(&mut self, _: &mut Input, result: &mut Answer) -> Option<Self::Future> {
        let again = result.as_ref().is_err_and(|error| error.retry() != Retry::Never);
        self.0 += 1;
        (again && self.0 < 3).then(|| ready(()))
    }

    fn clone_request(&mut self, input: &Input) -> Option<Input> {
        Some(input.clone())
    }
}

/// A module whose first answers are `Err`, or bodies that break; how often it was asked.
fn failing(times: usize, early: bool) -> (Scripted, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let module = Scripted::new(move |_| {
        let nth = count.fetch_add(1, SeqCst);
        ready(match (nth < times, early) {
            (true, true) => Err(failure("early")),
            (true, false) => Ok(Output::new(crate::fakes::body_of([
                Ok(text("a")),
                Err(failure("late")),
            ]))),
            (false, _) => Ok(Output::new(crate::fakes::body_of([Ok(text("a")), Ok(last("b"))]))),
        })
    });
    (module, asked)
}

#[tokio::test(start_paused = true)]
async fn retry_covers_failures_before_the_first_content() {
    let (module, asked) = failing(2, true);
    let mut output = module
        .with(RetryLayer::new(Thrice(0)))
        .run_inference(ask())
        .await
        .unwrap();
    assert_eq!(drained(&mut output.body).await, ["a", "b"]);
    assert_eq!(asked.load(SeqCst), 3);
}

#[tokio::test(start_paused = true)]
async fn retry_does_not_cover_the_body() {
    let (module, asked) = failing(1, false);
    let mut output = module
        .with(RetryLayer::new(Thrice(0)))
        .run_inference(ask())
        .await
        .unwrap();
    assert_eq!(drained(&mut output.body).await, ["a", "error late"]);
    assert_eq!(asked.load(SeqCst), 1);
}
