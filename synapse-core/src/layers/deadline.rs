//! An end to waiting.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures_core::Stream;
use tokio::time::{Instant, Sleep, sleep_until, timeout_at};
use tower::Layer;

use crate::{
    Body, Chunk, Deadline, Error, ErrorKind, InferenceService, Input, Middleware, MiddlewareService, Next,
    Output,
};

/// Ends a request that takes too long: before its first content with an `Err`, later by breaking its body.
///
/// Unlike tower's `Timeout` it covers the wait for readiness and the body. It puts a [`Deadline`] into the input, so
/// that queues and remote modules know; a deadline that is there already and earlier wins.
///
/// ```
/// use std::time::Duration;
/// use synapse_core::layers::DeadlineLayer;
/// let layer = DeadlineLayer::new(Duration::from_secs(300)).first_content_within(Duration::from_secs(60));
/// # let _ = layer;
/// ```
#[derive(Debug, Clone)]
pub struct DeadlineLayer {
    total: Duration,
    first: Duration,
}

impl DeadlineLayer {
    /// A deadline for the whole request, body included.
    #[must_use]
    pub fn new(total: Duration) -> Self {
        Self { total, first: total }
    }

    /// The same with a shorter wait for the first content.
    #[must_use]
    pub fn first_content_within(mut self, limit: Duration) -> Self {
        self.first = limit.min(self.total);
        self
    }

    fn expired(what: &'static str) -> Error {
        Error::new(ErrorKind::Timeout, "deadline_exceeded", what)
    }
}

impl<S> Layer<S> for DeadlineLayer {
    type Service = MiddlewareService<Self, S>;

    fn layer(&self, inner: S) -> Self::Service {
        MiddlewareService::new(Arc::new(self.clone()), inner)
    }
}

impl Middleware for DeadlineLayer {
    async fn handle<S: InferenceService>(&self, mut input: Input, next: Next<S>) -> Result<Output, Error> {
        let now = Instant::now();
        let ours = now + self.total;
        let end = input
            .extensions()
            .get::<Deadline>()
            .map_or(ours, |deadline| deadline.instant().min(ours));
        input.extensions_mut().insert(Deadline::at(end));
        let output = timeout_at(end.min(now + self.first), next.run(input))
            .await
            .map_err(|_| Self::expired("the request was not answered before its deadline"))??;
        Ok(output.map_body(|body| {
            Body::new(Timed {
                body,
                sleep: Box::pin(sleep_until(end)),
            })
        }))
    }
}

struct Timed {
    body: Body,
    sleep: Pin<Box<Sleep>>,
}

impl Stream for Timed {
    type Item = Result<Chunk, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Poll::Ready(next) = Pin::new(&mut self.body).poll_next(cx) {
            return Poll::Ready(next);
        }
        self.sleep.as_mut().poll(cx).map(|()| {
            Some(Err(DeadlineLayer::expired(
                "the reply was not complete before its deadline",
            )))
        })
    }
}
