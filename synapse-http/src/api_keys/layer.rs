//! The layer that asks for a key.

use std::{
    convert::Infallible,
    path::PathBuf,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use axum::{extract::Request, response::Response};
use http::{HeaderValue, StatusCode, header};
use synapse_core::{Error, SystemClock, WallClock};
use tower::{Layer, Service};

use super::{live::LiveKeys, presented::presented, refusal, store::ApiKeyStore};
use crate::router;

/// What Prometheus reads.
const METRICS: &str = "/metrics";

/// Asks for an API key at the door of an [`Api`](crate::Api): see [the module](super).
///
/// What it does not go around needs no key: `/health/*`, and routes that are added after it, such as those of
/// [`scores`](crate::Api::scores), of which a signature is demanded instead. `/metrics` needs none either, since Prometheus
/// has none.
///
/// Give it to [`Api::layer`](crate::Api::layer) by itself: within another layer a [`Server`](crate::Server) does not see that
/// keys are asked for, and serves other machines only where that is [allowed](crate::Server::allow_without_keys).
#[derive(Debug, Clone)]
pub struct ApiKeysLayer {
    keys: Arc<LiveKeys>,
    clock: Arc<dyn WallClock>,
}

impl ApiKeysLayer {
    /// Takes the keys of this directory, as they are at each request. Where there is no directory, it is made, and nobody has
    /// a key until an [`ApiKeyStore`] makes one there.
    ///
    /// # Errors
    /// As [`ApiKeyStore::open`].
    pub fn open(directory: impl Into<PathBuf>) -> Result<Self, Error> {
        let directory = directory.into();
        ApiKeyStore::open(&directory)?;
        let keys = LiveKeys::open(directory.clone())?;
        if keys.count() == 0 {
            tracing::warn!(directory = %directory.display(), "there are no API keys yet, so that nobody can ask");
        }
        Ok(Self {
            keys: Arc::new(keys),
            clock: Arc::new(SystemClock),
        })
    }

    /// Tells by another clock what has expired. The machine's, unless set.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn WallClock>) -> Self {
        self.clock = clock;
        self
    }

    /// Finds whose key it is, and says so beside the request.
    async fn admit(&self, request: &mut Request) -> Result<(), Error> {
        let key = presented(request.headers())?;
        let table = self
            .keys
            .current()
            .await
            .map_err(|error| refusal::closed(&error))?;
        let holder = table.holder(key, self.clock.now())?.clone();
        if let Some(shown) = request.headers_mut().get_mut(header::AUTHORIZATION) {
            // For whoever prints the headers.
            shown.set_sensitive(true);
        }
        let beside = request.extensions_mut();
        beside.insert(holder.caller);
        beside.insert(holder.key);
        beside.insert(holder.models);
        Ok(())
    }
}

impl<S> Layer<S> for ApiKeysLayer {
    type Service = ApiKeys<S>;

    fn layer(&self, inner: S) -> ApiKeys<S> {
        ApiKeys {
            inner,
            keys: self.clone(),
        }
    }
}

/// A service behind an [`ApiKeysLayer`].
#[derive(Debug, Clone)]
pub struct ApiKeys<S> {
    inner: S,
    keys: ApiKeysLayer,
}

impl<S> Service<Request> for ApiKeys<S>
where
    S: Service<Request, Response = Response, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        let fresh = self.inner.clone();
        let mut ready = std::mem::replace(&mut self.inner, fresh);
        let keys = self.keys.clone();
        Box::pin(async move {
            if request.uri().path() != METRICS
                && let Err(error) = keys.admit(&mut request).await
            {
                return Ok(refused(&error));
            }
            ready.call(request).await
        })
    }
}

fn refused(error: &Error) -> Response {
    tracing::debug!(code = error.code(), "a request was refused at the door");
    let mut response = router::refusal(error);
    if response.status() == StatusCode::UNAUTHORIZED {
        let how = HeaderValue::from_static("Bearer");
        response.headers_mut().insert(header::WWW_AUTHENTICATE, how);
    }
    response
}
