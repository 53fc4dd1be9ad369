//! Who may call, as a program's configuration has it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use synapse_core::{
    NodeId, Stake,
    config::{Configuration, Wrong},
};

use super::{AccessRules, CallerLimits};

/// Who may call, and how much each of them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct AccessConfig {
    /// The only validators that are served; all of them where this is left out.
    #[schemars(extend("x-value" = "NODE"))]
    pub only: Vec<String>,
    /// Validators that are not served.
    #[schemars(extend("x-value" = "NODE"))]
    pub deny: Vec<String>,
    /// Requests that a validator has under way at most, those that wait included; no limit where this is left out.
    #[schemars(range(min = 1, max = 1_000_000), extend("x-flag" = "caller-in-flight", "x-example" = 32))]
    pub in_flight: Option<u32>,
    /// Requests that a validator may make a minute; no limit where this is left out.
    #[schemars(range(min = 1, max = 1_000_000_000), extend("x-flag" = "caller-requests-per-minute", "x-example" = 600))]
    pub requests_per_minute: Option<u64>,
    /// Tokens that a validator may use a minute, about, prompts and replies together; no limit where this is left out.
    #[schemars(range(min = 1, max = 1_000_000_000_000_u64), extend("x-flag" = "caller-tokens-per-minute", "x-example" = 200_000))]
    pub tokens_per_minute: Option<u64>,
}

impl AccessConfig {
    /// The rules, for callers with at least this stake.
    #[must_use]
    pub fn rules(&self, least_stake: Stake) -> AccessRules {
        let rules = AccessRules::default()
            .deny(nodes(&self.deny))
            .least_stake(least_stake)
            .limits(self.limits());
        if self.only.is_empty() {
            rules
        } else {
            rules.only(nodes(&self.only))
        }
    }

    fn limits(&self) -> CallerLimits {
        let mut limits = CallerLimits::default();
        if let Some(requests) = self.in_flight {
            limits = limits.in_flight(requests);
        }
        if let Some(requests) = self.requests_per_minute {
            limits = limits.requests_per_minute(requests);
        }
        if let Some(tokens) = self.tokens_per_minute {
            limits = limits.tokens_per_minute(tokens);
        }
        limits
    }
}

fn nodes(names: &[String]) -> impl Iterator<Item = NodeId> {
    names.iter().map(|name| NodeId::from(name.as_str()))
}

impl Configuration for AccessConfig {
    fn check(&self, wrong: &mut Wrong) {
        if let Some(both) = self.only.iter().find(|node| self.deny.contains(node)) {
            wrong.add(
                "deny",
                format!("{both} is denied, and one of those who only may call"),
            );
        }
    }
}
