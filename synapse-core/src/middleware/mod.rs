//! The short ways to write a layer.

mod from_fn;
mod next;

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use tower::{Layer, Service};

pub use self::{
    from_fn::{FromFn, FromFnService, from_fn},
    next::{AnyNext, Next},
};
use crate::{Error, InferenceService, Input, Output};

/// A layer as one async method: what it does with a request, and with what comes back.
///
/// [`layer`] makes a tower layer of one; [`from_fn`] of a closure. What must be given back however a request ends
/// belongs in a [`Pending`](crate::Pending), never on a line after `next.run`: the caller may be gone by then.
///
/// ```
/// use synapse_core::{Deadline, Error, InferenceService, Input, Middleware, Next, Output};
/// use tokio::time::{Duration, Instant};
///
/// #[derive(Debug)]
/// struct Hurry(Duration);
///
/// impl Middleware for Hurry {
///     async fn handle<S: InferenceService>(&self, mut input: Input, next: Next<S>) -> Result<Output, Error> {
///         input.extensions_mut().insert(Deadline::at(Instant::now() + self.0));
///         next.run(input).await
///     }
/// }
/// ```
pub trait Middleware: Send + Sync + 'static {
    /// Handles one request; `next.run(input)` is the rest of the stack.
    fn handle<S: InferenceService>(
        &self,
        input: Input,
        next: Next<S>,
    ) -> impl Future<Output = Result<Output, Error>> + Send;
}

/// A tower layer of `middleware`.
pub fn layer<M: Middleware>(middleware: M) -> MiddlewareLayer<M> {
    MiddlewareLayer(Arc::new(middleware))
}

/// A [`Middleware`] as a tower layer; its services share the one middleware.
pub struct MiddlewareLayer<M>(Arc<M>);

impl<M> Clone for MiddlewareLayer<M> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<M> fmt::Debug for MiddlewareLayer<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MiddlewareLayer").finish_non_exhaustive()
    }
}

impl<M, S> Layer<S> for MiddlewareLayer<M> {
    type Service = MiddlewareService<M, S>;

    fn layer(&self, inner: S) -> Self::Service {
        MiddlewareService::new(self.0.clone(), inner)
    }
}

/// A [`Middleware`] around a service.
pub struct MiddlewareService<M, S> {
    middleware: Arc<M>,
    inner: S,
}

impl<M, S> MiddlewareService<M, S> {
    /// `middleware` around `inner`: for a layer of your own that holds its middleware itself.
    pub fn new(middleware: Arc<M>, inner: S) -> Self {
        Self { middleware, inner }
    }
}

impl<M, S: Clone> Clone for MiddlewareService<M, S> {
    fn clone(&self) -> Self {
        Self {
            middleware: self.middleware.clone(),
            inner: self.inner.clone(),
        }
    }
}

impl<M, S: fmt::Debug> fmt::Debug for MiddlewareService<M, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MiddlewareService")
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}

impl<M: Middleware, S: InferenceService> Service<Input> for MiddlewareService<M, S> {
    type Response = Output;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Output, Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner
            .poll_ready(cx)
            .map_err(|error| Error::from_boxed(error.into()))
    }

    fn call(&mut self, input: Input) -> Self::Future {
        let fresh = self.inner.clone();
        let ready = std::mem::replace(&mut self.inner, fresh);
        let middleware = self.middleware.clone();
        Box::pin(async move { middleware.handle(input, Next::ready(ready)).await })
    }
}
