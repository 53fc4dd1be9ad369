//! The queue's options, as a program's configuration has them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use synapse_core::config::{Configuration, Period};

use super::QueueLayer;

/// The queue before the engine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct QueueConfig {
    /// Requests that the engine works on at once.
    #[schemars(range(min = 1, max = 1024), extend("x-flag" = "parallel", "x-restart" = true))]
    pub parallel: usize,
    /// Requests that wait for it.
    #[schemars(range(max = 1_000_000), extend("x-flag" = "waiting", "x-restart" = true))]
    pub waiting: usize,
    /// How long one of them waits at most.
    #[schemars(extend("x-flag" = "max-wait", "x-most" = "1d", "x-restart" = true))]
    pub max_wait: Period,
    /// Callers who are told apart, each with a share of his own; those beyond share one.
    #[schemars(range(min = 1, max = 1_000_000), extend("x-flag" = "queue-callers", "x-restart" = true))]
    pub callers: usize,
}

impl Default for QueueConfig {
    fn default() -> Self {
        Self {
            parallel: 4,
            waiting: 64,
            max_wait: Period::seconds(60),
            callers: 1024,
        }
    }
}

impl QueueConfig {
    /// The queue.
    #[must_use]
    pub fn layer(&self) -> QueueLayer {
        QueueLayer::bounded(self.waiting)
            .concurrency(self.parallel)
            .callers(self.callers)
            .max_wait(self.max_wait.get())
    }
}

impl Configuration for QueueConfig {}
