//! Options of a validator's parts, as a program's configuration has them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use synapse_core::config::{Configuration, Period};

pub use crate::rate_limit::config::{AwayConfig, LimitsConfig, RedisConfig, WindowsConfig};
use crate::{MinerPool, StandardPolicy, score::StandardSettings};

/// The miners, and how they are chosen and looked after.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct PoolConfig {
    /// Miners asked for one request, at most.
    #[schemars(range(min = 1, max = 64), extend("x-restart" = true))]
    pub attempts: u32,
    /// How often each miner's health is looked at.
    #[schemars(extend("x-least" = "100ms", "x-most" = "1h", "x-restart" = true))]
    pub health_every: Period,
    /// How long the first miners are waited for when it starts.
    #[schemars(extend("x-most" = "10m", "x-restart" = true))]
    pub startup_wait: Period,
    /// How long replies of a miner that leaves may go on.
    #[schemars(extend("x-most" = "1d", "x-restart" = true))]
    pub drain: Period,
}

impl Default for PoolConfig {
    fn default() -> Self {
        Self {
            attempts: 3,
            health_every: Period::seconds(5),
            startup_wait: Period::seconds(10),
            drain: Period::seconds(30),
        }
    }
}

impl PoolConfig {
    /// Sets a pool up so.
    #[must_use]
    pub fn apply(&self, pool: MinerPool) -> MinerPool {
        pool.attempts(self.attempts)
            .probe_interval(self.health_every.get())
            .startup_wait(self.startup_wait.get())
            .drain(self.drain.get())
    }
}

/// The requests of its own by which miners are tried.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct ProbeConfig {
    /// How often each miner is probed.
    #[schemars(extend("x-flag" = "probe-every", "x-least" = "100ms", "x-most" = "1d"))]
    pub every: Period,
    /// Miners that are probed at once. One that never answers takes a place for a minute, or for five where its context is
    /// filled.
    #[schemars(range(min = 1, max = 16_384), extend("x-restart" = true))]
    pub at_once: usize,
}

impl Default for ProbeConfig {
    fn default() -> Self {
        Self {
            every: Period::seconds(30),
            at_once: 256,
        }
    }
}

/// The standard score policy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct ScoreConfig {
    /// The least number of observations with which there is an opinion of a miner.
    #[schemars(range(min = 1, max = 1_000_000), extend("x-restart" = true))]
    pub least_observations: u64,
    /// The time to the first content up to which nothing is deducted; the subnet's median with the tolerance where this
    /// is left out.
    #[schemars(extend("x-least" = "1ms", "x-most" = "1h", "x-example" = "800ms", "x-restart" = true))]
    pub first_content: Option<Period>,
    /// The tokens a second from which nothing is deducted; the subnet's median with the tolerance where this is left out.
    #[schemars(range(min = 0.001, max = 1_000_000.0), extend("x-example" = 40.0, "x-restart" = true))]
    pub speed: Option<f64>,
    /// How many times slower than the subnet's median a miner may be without any deduction.
    #[schemars(range(min = 1.0, max = 1000.0), extend("x-restart" = true))]
    pub tolerance: f64,
    /// What is left of the score of a miner that got no users' traffic; 1 switches the volume off.
    #[schemars(range(min = 0.0, max = 1.0), extend("x-restart" = true))]
    pub volume_floor: f64,
}

impl Default for ScoreConfig {
    fn default() -> Self {
        Self {
            least_observations: 3,
            first_content: None,
            speed: None,
            tolerance: 1.5,
            volume_floor: 0.5,
        }
    }
}

impl ScoreConfig {
    /// The policy.
    #[must_use]
    pub fn policy(&self) -> StandardPolicy {
        let mut settings = StandardSettings::default()
            .least_observations(self.least_observations)
            .tolerance(self.tolerance)
            .volume_floor(self.volume_floor);
        if let Some(target) = self.first_content {
            settings = settings.first_content(target.get());
        }
        if let Some(target) = self.speed {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "the cast saturates"
            )]
            let target = (target * 1000.0) as u64;
            settings = settings.speed_mtps(target);
        }
        StandardPolicy::new(settings)
    }
}

impl Configuration for PoolConfig {}

impl Configuration for ProbeConfig {}

impl Configuration for ScoreConfig {}
