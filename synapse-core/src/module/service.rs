//! A module as a tower service, and any such service as part of a stack.

use std::{
    fmt,
    future::Future,
    panic::AssertUnwindSafe,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use tower::{BoxError, Layer, Service};

use super::{InferenceModule, Stack};
use crate::{Error, Input, Output};

/// What every stack is made of: a tower service from [`Input`] to [`Output`] that can be cloned for each request.
///
/// Implemented for every service of that shape; name it as a bound instead of spelling the shape out.
///
/// What is not of that shape is refused by the compiler, which names the usual culprits. tower's `RateLimit`, for one,
/// is not `Clone`:
///
/// ```compile_fail,E0277
/// use std::time::Duration;
/// use synapse_core::{ModuleExt, testkit::Echo};
/// let module = Echo::new().with(tower::limit::RateLimitLayer::new(1, Duration::from_secs(1)));
/// ```
///
/// Behind a buffer it is:
///
/// ```no_run
/// use std::time::Duration;
/// use synapse_core::{Input, ModuleExt, testkit::Echo};
/// use tower::{ServiceBuilder, buffer::BufferLayer, limit::RateLimitLayer};
/// let module = Echo::new().with(
///     ServiceBuilder::new().layer(BufferLayer::<Input>::new(16)).layer(RateLimitLayer::new(1, Duration::from_secs(1))),
/// );
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a service that runs inference",
    label = "not an `InferenceService`",
    note = "it must be a `tower::Service<Input, Response = Output>` whose error is `Into<BoxError>` and whose future is `Send`, and itself `Clone + Send + Sync + 'static`",
    note = "`tower::limit::RateLimit` and `tower::util::BoxService` are not `Clone`: put `tower::buffer::BufferLayer` around the first, use `BoxCloneSyncService` for the second",
    note = "`tower::util::BoxCloneService` is not `Sync`: use `BoxCloneSyncService`"
)]
pub trait InferenceService:
    Service<Input, Response = Output, Error: Into<BoxError>, Future: Send + 'static>
    + Clone
    + Send
    + Sync
    + 'static
{
}

impl<S> InferenceService for S where
    S: Service<Input, Response = Output, Error: Into<BoxError>, Future: Send + 'static>
        + Clone
        + Send
        + Sync
        + 'static
{
}

/// Composition, provided for every module.
pub trait ModuleExt: InferenceModule + Sized {
    /// This module as a tower service.
    fn into_service(self) -> ModuleService<Self> {
        ModuleService(Arc::new(self))
    }

    /// This module behind `layers` (a layer, or a `ServiceBuilder`, which is one): a module again.
    ///
    /// Layers run top to bottom. Each `with` is a boundary of readiness: what sheds load must sit in the same
    /// builder as what it sheds.
    fn with<L>(self, layers: L) -> Stack<L::Service, Self>
    where
        L: Layer<ModuleService<Self>, Service: InferenceService>,
    {
        Stack::new(self, layers)
    }
}

impl<M: InferenceModule> ModuleExt for M {}

/// A module as a tower service; always ready, and a panic of the module is an error with the code `module_panicked`.
pub struct ModuleService<M: ?Sized>(Arc<M>);

impl<M: ?Sized> ModuleService<M> {
    pub(super) fn shared(module: Arc<M>) -> Self {
        Self(module)
    }
}

impl<M: ?Sized> Clone for ModuleService<M> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<M: ?Sized> fmt::Debug for ModuleService<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ModuleService").finish_non_exhaustive()
    }
}

impl<M: InferenceModule + ?Sized> Service<Input> for ModuleService<M> {
    type Response = Output;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Output, Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, input: Input) -> Self::Future {
        let module = self.0.clone();
        Box::pin(caught(async move { module.run_inference(input).await }))
    }
}

/// Awaits `future`; a panic in it is an error of the call.
pub(crate) async fn caught<F>(future: F) -> Result<Output, Error>
where
    F: Future<Output = Result<Output, Error>>,
{
    let mut future = std::pin::pin!(future);
    std::future::poll_fn(|cx| {
        std::panic::catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx)))
            .unwrap_or_else(|payload| Poll::Ready(Err(Error::from_panic(&*payload))))
    })
    .await
}
