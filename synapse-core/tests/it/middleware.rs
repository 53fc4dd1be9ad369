//! The short ways to write a layer.

use std::sync::Arc;

use synapse_core::{
    Error, InferenceModule, InferenceService, Input, Middleware, ModuleExt, Next, Output, from_fn, layer,
    testkit::{Echo, Scripted},
};
use tower::ServiceBuilder;

use crate::fakes::{Log, ask, drained, failure};

#[derive(Clone)]
struct Noting(&'static str, Log);

impl Middleware for Noting {
    async fn handle<S: InferenceService>(&self, input: Input, next: Next<S>) -> Result<Output, Error> {
        self.1.note(self.0);
        let result = next.run(input).await;
        self.1.note(format!("{} back", self.0));
        result
    }
}

fn echo() -> Scripted {
    Scripted::new(|input| async move { Echo::named("scripted").run_inference(input).await })
}

#[tokio::test]
async fn layers_run_top_to_bottom() {
    let log = Log::default();
    let inner = log.clone();
    let stack = echo().with(
        ServiceBuilder::new()
            .layer(layer(Noting("outer", log.clone())))
            .layer(from_fn(move |input: Input, next| {
                inner.note("inner");
                async move { next.run(input).await }
            })),
    );
    let mut output = stack.run_inference(ask()).await.unwrap();
    assert_eq!(log.lines(), ["outer", "inner", "outer back"]);
    assert_eq!(drained(&mut output.body).await.concat(), "Are you there?");
}

#[tokio::test]
async fn every_with_is_a_layer_further_out() {
    let log = Log::default();
    let stack = echo()
        .with(layer(Noting("inner", log.clone())))
        .with(layer(Noting("outer", log.clone())));
    stack.run_inference(ask()).await.unwrap();
    assert_eq!(log.lines(), ["outer", "inner", "inner back", "outer back"]);
}

/// Asks again where the first attempt failed.
struct Again;

impl Middleware for Again {
    async fn handle<S: InferenceService>(&self, input: Input, next: Next<S>) -> Result<Output, Error> {
        let again = next.clone();
        match next.run(input.clone()).await {
            Ok(output) => Ok(output),
            Err(_) => again.run(input).await,
        }
    }
}

#[tokio::test]
async fn a_clone_of_next_runs_the_rest_again() {
    let log = Log::default();
    let tries = log.clone();
    let module = Scripted::new(move |input| {
        tries.note("try");
        let first = tries.lines().len() == 1;
        async move {
            if first {
                return Err(failure("first"));
            }
            Echo::named("scripted").run_inference(input).await
        }
    });
    let stack = module.with(ServiceBuilder::new().layer(layer(Again)).concurrency_limit(1));
    assert!(
        stack.run_inference(ask()).await.is_ok(),
        "also where the rest must become ready again"
    );
    assert_eq!(log.lines().len(), 2);
}

#[tokio::test]
async fn a_closure_may_answer_itself() {
    let never = Scripted::new(|_| async { Err(failure("never asked")) });
    let stack = Arc::new(never).with(from_fn(|_, _| async {
        Err(Error::invalid("refused", "refused"))
    }));
    assert_eq!(stack.run_inference(ask()).await.unwrap_err().code(), "refused");
}
