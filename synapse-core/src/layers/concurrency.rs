//! A bound on how many requests are under way.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tower::Layer;

use crate::{
    Attached, Ending, Error, ErrorKind, InferenceService, Input, MetricsData, Middleware, MiddlewareService,
    ModuleCapabilities, Next, Output, Pending, Tap,
};

/// Lets so many requests be under way at once and refuses more, with [`ErrorKind::Overloaded`].
///
/// Unlike tower's `ConcurrencyLimit`, which frees its permit at the head, it holds the permit until the body ends; and
/// it refuses at once rather than letting callers wait where nobody sees them. Put a queue in front to make them wait.
#[derive(Debug, Clone)]
pub struct ConcurrencyLayer {
    permits: Arc<Semaphore>,
    limit: u32,
}

impl ConcurrencyLayer {
    /// At most `limit` requests at once.
    #[must_use]
    pub fn new(limit: u32) -> Self {
        Self {
            permits: Arc::new(Semaphore::new(limit as usize)),
            limit,
        }
    }

    /// How many requests are under way.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        (self.limit as usize).saturating_sub(self.permits.available_permits())
    }
}

impl<S> Layer<S> for ConcurrencyLayer {
    type Service = MiddlewareService<Self, S>;

    fn layer(&self, inner: S) -> Self::Service {
        MiddlewareService::new(Arc::new(self.clone()), inner)
    }
}

impl Middleware for ConcurrencyLayer {
    async fn handle<S: InferenceService>(&self, input: Input, next: Next<S>) -> Result<Output, Error> {
        let permit = self.permits.clone().try_acquire_owned().map_err(|_| {
            Error::new(
                ErrorKind::Overloaded,
                "overloaded",
                format!("all {} places for requests are taken", self.limit),
            )
        })?;
        Pending::new(Held { _permit: permit }).settle(next.run(input).await)
    }
}

struct Held {
    _permit: OwnedSemaphorePermit,
}

impl Tap for Held {
    fn on_end(&mut self, _: &Ending) {}
}

#[async_trait]
impl Attached for ConcurrencyLayer {
    fn capabilities(&self, capabilities: &mut ModuleCapabilities) {
        capabilities.concurrency = Some(
            capabilities
                .concurrency
                .map_or(self.limit, |other| other.min(self.limit)),
        );
    }

    #[expect(clippy::cast_precision_loss, reason = "a number of requests")]
    fn metrics(&self, metrics: &mut MetricsData) {
        metrics.gauge("concurrency.in_flight", self.in_flight() as f64);
    }
}
