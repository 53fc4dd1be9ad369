//! On whose account a request is.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::{KeyId, Micros};

/// Where a request came from: the peer's address, or what the proxies that the operator trusts say it is; of IPv6 the first
/// address of its /64, which is what one customer has. Set by the router, read by limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClientIp(pub IpAddr);

/// The API key that a request came with, once it was found to be good. Set at the door beside the
/// [`Caller`](super::Caller) whose key it is, read by limits, balances and the ledger. It holds no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    id: KeyId,
    allowance: Allowance,
}

impl ApiKey {
    /// The key of this id, which may do so much.
    pub fn new(id: impl Into<KeyId>, allowance: Allowance) -> Self {
        Self {
            id: id.into(),
            allowance,
        }
    }

    /// Which key it is; not the key itself.
    #[must_use]
    pub fn id(&self) -> &KeyId {
        &self.id
    }

    /// How much may be asked for with it.
    #[must_use]
    pub fn allowance(&self) -> &Allowance {
        &self.allowance
    }
}

/// How much may be asked for with one API key, beside what its caller may. What is left out is not limited.
///
/// The limits of rate hold in synapse-validator's rate limit layer, those of money in its ledger layer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Allowance {
    /// Requests a minute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests_per_minute: Option<u64>,
    /// Tokens a minute, prompts and replies together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens_per_minute: Option<u64>,
    /// Tokens a day of UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens_per_day: Option<u64>,
    /// Tokens a month of UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens_per_month: Option<u64>,
    /// Money a day of UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spend_per_day: Option<Micros>,
    /// Money a month of UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spend_per_month: Option<Micros>,
}
