//! Who is held to how much.

use std::{collections::BTreeMap, sync::Arc};

use super::{Quota, account::Whose};
use crate::same_model::other_name;

/// Who is held to how much: each caller, each address, each of some models, and everybody together.
///
/// A request is let in where all of them, and its API key's own, have room for it, and then takes from all. Models that
/// are not named here have no limit of their own.
///
/// ```
/// use synapse_validator::rate_limit::{Limits, Quota, RateLimitLayer};
///
/// let limits = Limits::per_caller(Quota::requests_per_minute(60).and(Quota::tokens_per_day(200_000)))
///     .per_address(Quota::requests_per_second(20))
///     .per_model("large", Quota::tokens_per_minute(100_000))
///     .for_everybody(Quota::requests_per_second(500));
/// let layer = RateLimitLayer::new(limits);
/// # let _ = layer;
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Limits {
    pub(super) caller: Quota,
    pub(super) address: Quota,
    pub(super) everybody: Quota,
    pub(super) models: BTreeMap<Arc<str>, Quota>,
}

impl Limits {
    /// No limits but those of API keys.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Holds each caller to `quota`.
    #[must_use]
    pub fn per_caller(quota: Quota) -> Self {
        Self {
            caller: quota,
            ..Self::default()
        }
    }

    /// Holds each address that requests come from to `quota`, as [`ClientIp`](synapse_core::ClientIp) says it. IPv6
    /// addresses of one network of 64 bits count as one; requests of which nobody knows it share one account.
    #[must_use]
    pub fn per_address(mut self, quota: Quota) -> Self {
        self.address = quota;
        self
    }

    /// Holds all who ask for `model` together to `quota`. `m` and `m:latest` are one model.
    #[must_use]
    pub fn per_model(mut self, model: impl Into<Arc<str>>, quota: Quota) -> Self {
        self.models.insert(model.into(), quota);
        self
    }

    /// Holds all together to `quota`.
    #[must_use]
    pub fn for_everybody(mut self, quota: Quota) -> Self {
        self.everybody = quota;
        self
    }

    /// What is said of this account; of a key its request says it, and of an address nothing is restored.
    pub(super) fn of(&self, whose: &Whose) -> Option<&Quota> {
        match whose {
            Whose::Everybody => Some(&self.everybody),
            Whose::Caller(_) => Some(&self.caller),
            Whose::Model(model) => self.models.get(model),
            Whose::Key(_) | Whose::Address(_) => None,
        }
    }

    /// What is said of this model, and under which name.
    pub(super) fn of_model(&self, model: &str) -> Option<(&Arc<str>, &Quota)> {
        let same = || self.models.get_key_value(&*other_name(model)?);
        self.models.get_key_value(model).or_else(same)
    }
}
