//! Options of a miner's parts, as a program's configuration has them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use synapse_core::{
    Stake,
    config::{Configuration, Wrong},
};

use crate::node::Register;
pub use crate::{
    access::AccessConfig, admission::AdmissionConfig, breaker::BreakerConfig, monitor::MonitorConfig,
    queue::QueueConfig, scale::ScaleConfig,
};

/// Whether the miner registers itself, and what that may cost.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct RegisterConfig {
    /// When it registers: never; once in its life, if it is no member; or again, whenever it is no member.
    #[schemars(extend("x-flag" = "register", "x-restart" = true))]
    pub when: RegisterWhen,
    /// What it stakes each time.
    #[schemars(extend("x-flag" = "stake", "x-value" = "AMOUNT", "x-restart" = true))]
    pub stake: u64,
    /// What it may spend at most in its life: fees and stakes, all times together.
    #[schemars(extend("x-flag" = "most-cost", "x-value" = "AMOUNT", "x-restart" = true))]
    pub most_cost: u64,
}

/// When a miner registers itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RegisterWhen {
    /// Never: somebody else does.
    #[default]
    Never,
    /// Once in its life, if it is no member.
    Once,
    /// Whenever it is no member, as after its key was deregistered.
    Again,
}

impl RegisterConfig {
    /// Whether it registers itself, as a [`MinerNode`](crate::node::MinerNode) takes it.
    #[must_use]
    pub fn terms(&self) -> Register {
        let (stake, most_cost) = (Stake(self.stake), Stake(self.most_cost));
        match self.when {
            RegisterWhen::Never => Register::Never,
            RegisterWhen::Once => Register::Once { stake, most_cost },
            RegisterWhen::Again => Register::Again { stake, most_cost },
        }
    }
}

impl Configuration for RegisterConfig {
    fn check(&self, wrong: &mut Wrong) {
        if self.when != RegisterWhen::Never && self.most_cost < self.stake {
            wrong.add(
                "most_cost",
                "it is less than the stake, so that it never registers",
            );
        }
    }
}
