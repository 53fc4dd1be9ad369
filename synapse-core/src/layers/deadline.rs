//! An end to waiting.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use futures_core::Stream;
use tokio::time::{Instant, Sleep, sleep_until, timeout_at};
use tower::{Layer, Service, ServiceExt};

use crate::{Body, Chunk, Deadline, Error, ErrorKind, InferenceService, Input, Output};

/// What stands in for a deadline that the clock cannot count to.
const FAR: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);

/// Ends a request that takes too long: before its first content with an `Err`, later by breaking its body.
///
/// Unlike tower's `Timeout` it covers the wait for readiness and the body. It puts a [`Deadline`] into the input, so
/// that queues and remote modules know; a deadline that is there already and earlier wins.
///
/// To cover the wait for readiness it does the waiting itself: it is always ready, so it hides the readiness of what is
/// below it. tower's `LoadShed` belongs below it, in the same builder as what it sheds.
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

    /// When the request must be over, and when its first content must be there.
    fn ends(&self, input: &Input) -> (Instant, Instant) {
        let now = Instant::now();
        let after = |limit: Duration| now.checked_add(limit).unwrap_or_else(|| now + FAR);
        let total = match input.extensions().get::<Deadline>() {
            Some(deadline) => deadline.instant().min(after(self.total)),
            None => after(self.total),
        };
        (total, total.min(after(self.first)))
    }
}

impl<S> Layer<S> for DeadlineLayer {
    type Service = DeadlineService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        DeadlineService {
            layer: self.clone(),
            inner,
        }
    }
}

/// A service whose requests end in time; see [`DeadlineLayer`].
#[derive(Debug, Clone)]
pub struct DeadlineService<S> {
    layer: DeadlineLayer,
    inner: S,
}

impl<S: InferenceService> Service<Input> for DeadlineService<S> {
    type Response = Output;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Output, Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut input: Input) -> Self::Future {
        let (total, first) = self.layer.ends(&input);
        input.extensions_mut().insert(Deadline::at(total));
        let answer = self.inner.clone().oneshot(input);
        Box::pin(async move {
            let output = timeout_at(first, answer)
                .await
                .map_err(|_| DeadlineLayer::expired("the request was not answered before its deadline"))?
                .map_err(|error| Error::from_boxed(error.into()))?;
            Ok(output.map_body(|body| {
                body.wrap(|body| Timed {
                    body,
                    sleep: Box::pin(sleep_until(total)),
                })
            }))
        })
    }
}

struct Timed {
    body: Body,
    sleep: Pin<Box<Sleep>>,
}

impl Stream for Timed {
    type Item = Result<Chunk, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        // The deadline first: a body that is always ready has one too.
        if Instant::now() >= self.sleep.deadline() || self.sleep.as_mut().poll(cx).is_ready() {
            let late = DeadlineLayer::expired("the reply was not complete before its deadline");
            return Poll::Ready(Some(Err(late)));
        }
        Pin::new(&mut self.body).poll_next(cx)
    }
}
