//! The breaker's options, as a program's configuration has them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use synapse_core::config::{Configuration, Period, Wrong};

use super::CircuitBreakerLayer;

/// When an engine that fails is left alone, and for how long.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct BreakerConfig {
    /// So many failures in a row.
    #[schemars(range(min = 1, max = 10_000), extend("x-restart" = true))]
    pub failures: u32,
    /// How long it is left alone the first time.
    #[schemars(extend("x-least" = "10ms", "x-most" = "1h", "x-restart" = true))]
    pub first: Period,
    /// How long at most.
    #[schemars(extend("x-least" = "10ms", "x-most" = "1h", "x-restart" = true))]
    pub longest: Period,
}

impl Default for BreakerConfig {
    fn default() -> Self {
        Self {
            failures: 5,
            first: Period::seconds(1),
            longest: Period::seconds(5),
        }
    }
}

impl BreakerConfig {
    /// The breaker.
    #[must_use]
    pub fn layer(&self) -> CircuitBreakerLayer {
        CircuitBreakerLayer::default()
            .consecutive(self.failures)
            .backoff(self.first.get(), self.longest.get())
    }
}

impl Configuration for BreakerConfig {
    fn check(&self, wrong: &mut Wrong) {
        if self.longest < self.first {
            wrong.add("longest", "it is less than the first");
        }
    }
}
