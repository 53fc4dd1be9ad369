//! The subject of the measurements: five middlewares that pass on what they get, around a module in memory.
//!
//! `cargo test -p contract` counts allocations and compares them with `baseline.txt`; `cargo bench -p contract` takes
//! the time.

use synapse_core::{
    Body, Delta, Error, FinishReason, InferenceModule, InferenceService, Input, Message, Middleware,
    ModuleExt, Next, Output, from_fn, layer, testkit::Scripted,
};
use tower::ServiceBuilder;

/// A middleware that does nothing.
#[derive(Debug)]
struct Pass;

impl Middleware for Pass {
    async fn handle<S: InferenceService>(&self, input: Input, next: Next<S>) -> Result<Output, Error> {
        next.run(input).await
    }
}

/// A module whose reply has so many chunks, all there at once.
#[must_use]
pub fn module(chunks: usize) -> impl InferenceModule {
    scripted(chunks)
}

/// The same behind five layers, each a [`Middleware`].
#[must_use]
pub fn behind_layers(chunks: usize) -> impl InferenceModule {
    let five = ServiceBuilder::new()
        .layer(layer(Pass))
        .layer(layer(Pass))
        .layer(layer(Pass))
        .layer(layer(Pass))
        .layer(layer(Pass));
    scripted(chunks).with(five)
}

/// The same behind five layers, each a closure.
#[must_use]
pub fn behind_closures(chunks: usize) -> impl InferenceModule {
    let five = ServiceBuilder::new()
        .layer(from_fn(|input, next| async move { next.run(input).await }))
        .layer(from_fn(|input, next| async move { next.run(input).await }))
        .layer(from_fn(|input, next| async move { next.run(input).await }))
        .layer(from_fn(|input, next| async move { next.run(input).await }))
        .layer(from_fn(|input, next| async move { next.run(input).await }));
    scripted(chunks).with(five)
}

/// A request for any of them.
#[must_use]
pub fn question() -> Input {
    Input::chat("scripted", [Message::user("hello")])
}

fn scripted(chunks: usize) -> Scripted {
    Scripted::new(move |_| async move {
        let text = (1..chunks).map(|_| Delta::text("word "));
        Ok(Output::new(Body::from_deltas(
            text.chain([Delta::finish(FinishReason::Stop)]),
        )))
    })
}
