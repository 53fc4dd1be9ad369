//! Only what somebody serves goes on.

use std::sync::Arc;

use synapse_core::{Error, InferenceService, Input, Middleware, MiddlewareService, Next, Output};
use tower::Layer;

use super::MinerPool;

/// Refuses what no ready member of a [`MinerPool`] serves, as the pool would.
///
/// It stands inside the rate limit and around the ledger: so a request that nobody can answer takes a request of its
/// caller's, who cannot ask without end, and no row.
#[derive(Debug, Clone)]
pub struct ServedLayer(Arc<MinerPool>);

impl ServedLayer {
    /// Asks this pool.
    #[must_use]
    pub fn new(pool: Arc<MinerPool>) -> Self {
        Self(pool)
    }
}

impl<S> Layer<S> for ServedLayer {
    type Service = MiddlewareService<Self, S>;

    fn layer(&self, inner: S) -> Self::Service {
        MiddlewareService::new(Arc::new(self.clone()), inner)
    }
}

impl Middleware for ServedLayer {
    async fn handle<S: InferenceService>(&self, input: Input, next: Next<S>) -> Result<Output, Error> {
        self.0.check_input(&input)?;
        next.run(input).await
    }
}
