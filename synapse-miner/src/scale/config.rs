//! How many replicas there are, as a program's configuration has it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use synapse_core::config::{Configuration, Period, Wrong};

use super::ScalePolicy;

/// How many replicas of the engine there are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct ScaleConfig {
    /// The fewest.
    #[schemars(range(min = 1, max = 1024), extend("x-flag" = "min-replicas", "x-restart" = true))]
    pub min: u32,
    /// The most.
    #[schemars(range(min = 1, max = 1024), extend("x-flag" = "max-replicas", "x-restart" = true))]
    pub max: u32,
    /// The wait in the queue above which there is to be one more.
    #[schemars(extend("x-least" = "10ms", "x-most" = "1h", "x-restart" = true))]
    pub target_wait: Period,
    /// How long after a change one more may follow.
    #[schemars(extend("x-most" = "1h", "x-restart" = true))]
    pub up_after: Period,
    /// For how long one has to be too many before it is ended.
    #[schemars(extend("x-most" = "1d", "x-restart" = true))]
    pub down_after: Period,
}

impl Default for ScaleConfig {
    fn default() -> Self {
        Self {
            min: 1,
            max: 1,
            target_wait: Period::seconds(2),
            up_after: Period::seconds(1),
            down_after: Period::seconds(60),
        }
    }
}

impl ScaleConfig {
    /// The policy.
    #[must_use]
    pub fn policy(&self) -> ScalePolicy {
        ScalePolicy::between(self.min, self.max)
            .target_wait(self.target_wait.get())
            .up_after(self.up_after.get())
            .down_after(self.down_after.get())
    }
}

impl Configuration for ScaleConfig {
    fn check(&self, wrong: &mut Wrong) {
        if self.max < self.min {
            wrong.add("max", "it is less than min");
        }
    }
}
