//! The shortest way: a closure.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use tower::{Layer, Service, ServiceExt, util::BoxCloneSyncService};

use super::next::{AnyNext, Next};
use crate::{Error, InferenceService, Input, Output};

/// A layer of a closure. `next` is type-erased, which costs an allocation more than [`layer`](super::layer).
///
/// ```
/// use synapse_core::{Body, Caller, Input, ModuleExt, Output, from_fn, testkit::Scripted};
///
/// let module = Scripted::new(|_| async { Ok(Output::new(Body::whole("hello"))) })
///     .with(from_fn(|mut input: Input, next| async move {
///         input.extensions_mut().insert(Caller::new("alice"));
///         next.run(input).await
///     }));
/// # let _ = module;
/// ```
pub fn from_fn<F, Fut>(handle: F) -> FromFn<F>
where
    F: Fn(Input, AnyNext) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Result<Output, Error>> + Send + 'static,
{
    FromFn(handle)
}

/// A closure as a layer; see [`from_fn`].
#[derive(Clone)]
pub struct FromFn<F>(F);

impl<F> fmt::Debug for FromFn<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FromFn").finish_non_exhaustive()
    }
}

impl<F: Clone, S> Layer<S> for FromFn<F> {
    type Service = FromFnService<F, S>;

    fn layer(&self, inner: S) -> Self::Service {
        FromFnService {
            handle: self.0.clone(),
            inner,
        }
    }
}

/// A closure around a service; see [`from_fn`].
#[derive(Clone)]
pub struct FromFnService<F, S> {
    handle: F,
    inner: S,
}

impl<F, S: fmt::Debug> fmt::Debug for FromFnService<F, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FromFnService")
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}

impl<F, Fut, S> Service<Input> for FromFnService<F, S>
where
    F: Fn(Input, AnyNext) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Result<Output, Error>> + Send + 'static,
    S: InferenceService,
{
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
        let erased = BoxCloneSyncService::new(ready.map_err(|error| Error::from_boxed(error.into())));
        Box::pin((self.handle)(input, Next::ready(erased)))
    }
}
