//! What users may ask for, as a program's configuration has it.

#[cfg(feature = "redis")]
use std::time::Duration;
use std::{collections::BTreeMap, fmt};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use synapse_core::{
    Error,
    config::{Configuration, Period, Wrong},
};

use super::{Limits, Quota, RateLimitLayer};
#[cfg(feature = "redis")]
use super::{SharedLimits, WhenAway};

/// What may be asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct LimitsConfig {
    /// Requests that a caller may make a minute.
    #[schemars(range(min = 1, max = 1_000_000_000), extend("x-flag" = "requests-per-minute"))]
    pub requests_per_minute: u64,
    /// Tokens that a caller may use a minute, prompts and replies together. As many as a day's where this is left out.
    #[schemars(range(min = 1, max = 1_000_000_000_000_u64), extend("x-flag" = "tokens-per-minute", "x-example" = 100_000))]
    pub tokens_per_minute: Option<u64>,
    /// Tokens that a caller may use a day, prompts and replies together.
    #[schemars(range(min = 1, max = 1_000_000_000_000_u64), extend("x-flag" = "tokens-per-day"))]
    pub tokens_per_day: u64,
    /// Models, and the requests that all callers together may make of each a minute. Others have no limit of their own.
    #[schemars(extend("additionalProperties" = each_up_to(1_000_000_000), "x-flag" = "model-requests-per-minute", "x-value" = "MODEL=REQUESTS"))]
    pub model_requests_per_minute: BTreeMap<String, u64>,
    /// Models, and the tokens that all callers together may use of each a minute. Others have no limit of their own.
    #[schemars(extend("additionalProperties" = each_up_to(1_000_000_000_000), "x-flag" = "model-tokens-per-minute", "x-value" = "MODEL=TOKENS"))]
    pub model_tokens_per_minute: BTreeMap<String, u64>,
    /// Tokens that a reply may have where the request does not say.
    #[schemars(range(min = 1, max = 1_000_000), extend("x-flag" = "default-max-tokens", "x-restart" = true))]
    pub default_max_tokens: u32,
    /// Callers, keys and addresses, each, that are told apart at once; a further one is refused.
    #[schemars(range(min = 1, max = 100_000_000), extend("x-flag" = "max-callers", "x-restart" = true))]
    pub max_callers: usize,
    /// When a request is ended, whole reply included.
    #[schemars(extend("x-flag" = "deadline", "x-least" = "1s", "x-most" = "1d", "x-restart" = true))]
    pub deadline: Period,
    /// What may be asked for from one address.
    pub address: WindowsConfig,
    /// What may be asked for by all together.
    pub everybody: WindowsConfig,
    /// Limits that several gateways share. Of one gateway alone where this has no URL.
    pub redis: RedisConfig,
}

/// The schema of a limit of one model.
fn each_up_to(most: u64) -> serde_json::Value {
    serde_json::json!({"type": "integer", "minimum": 1, "maximum": most})
}

/// Where several gateways share their limits.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct RedisConfig {
    /// The Redis that all gateways ask, redis://HOST:PORT or unix:///SOCKET. It may hold a password.
    #[schemars(extend("x-value" = "URL", "x-example" = "redis://127.0.0.1:6379", "x-secret" = true, "x-restart" = true))]
    pub url: Option<String>,
    /// With what its keys begin: gateways with the same share their limits.
    #[schemars(extend("x-restart" = true))]
    pub prefix: String,
    /// How long an answer is waited for; then it counts as away.
    #[schemars(extend("x-least" = "10ms", "x-most" = "10s", "x-restart" = true))]
    pub reply_within: Period,
    /// What is done while it is away: `local` holds everybody to a part of the limits, `closed` refuses every request.
    #[schemars(extend("x-restart" = true))]
    pub when_away: AwayConfig,
    /// The part of the limits, in percent, that this gateway holds everybody to by itself while it is away: 100 divided by
    /// the number of gateways keeps them within the limits together.
    #[schemars(range(min = 1, max = 100), extend("x-restart" = true))]
    pub local_percent: u8,
}

impl fmt::Debug for RedisConfig {
    /// Without the URL, which may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisConfig")
            .field("url", &self.url.as_ref().map(|_| "…"))
            .field("prefix", &self.prefix)
            .field("reply_within", &self.reply_within)
            .field("when_away", &self.when_away)
            .field("local_percent", &self.local_percent)
            .finish()
    }
}

/// What is done while Redis is away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum AwayConfig {
    /// Holds everybody to a part of the limits.
    Local,
    /// Refuses every request.
    Closed,
}

impl Default for RedisConfig {
    fn default() -> Self {
        Self {
            url: None,
            prefix: "synapse:limits".to_owned(),
            reply_within: Period::milliseconds(250),
            when_away: AwayConfig::Local,
            local_percent: 50,
        }
    }
}

impl RedisConfig {
    /// The shared limits, where there is a URL.
    ///
    /// # Errors
    /// Where the URL is none.
    #[cfg(feature = "redis")]
    pub fn shared(&self, deadline: Period) -> Result<Option<SharedLimits>, Error> {
        let Some(url) = &self.url else { return Ok(None) };
        let when_away = match self.when_away {
            AwayConfig::Local => WhenAway::Alone {
                percent: self.local_percent,
            },
            AwayConfig::Closed => WhenAway::Closed,
        };
        let shared = SharedLimits::at(url)?
            .prefix(self.prefix.as_str())
            .reply_within(self.reply_within.get())
            // What is still under way at its deadline is settled after it.
            .reservations_for(deadline.get() * 2 + Duration::from_mins(10))
            .when_away(when_away);
        Ok(Some(shared))
    }
}

/// Windows, each of which holds where it is there.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct WindowsConfig {
    /// Requests a second.
    #[schemars(range(min = 1, max = 1_000_000_000), extend("x-example" = 20))]
    pub requests_per_second: Option<u64>,
    /// Requests a minute.
    #[schemars(range(min = 1, max = 1_000_000_000), extend("x-example" = 600))]
    pub requests_per_minute: Option<u64>,
    /// Tokens a minute, prompts and replies together.
    #[schemars(range(min = 1, max = 1_000_000_000_000_u64), extend("x-example" = 1_000_000))]
    pub tokens_per_minute: Option<u64>,
    /// Tokens a day, prompts and replies together.
    #[schemars(range(min = 1, max = 1_000_000_000_000_u64), extend("x-example" = 100_000_000))]
    pub tokens_per_day: Option<u64>,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            requests_per_minute: 600,
            tokens_per_minute: None,
            tokens_per_day: 2_000_000,
            model_requests_per_minute: BTreeMap::new(),
            model_tokens_per_minute: BTreeMap::new(),
            default_max_tokens: 4096,
            max_callers: 100_000,
            deadline: Period::seconds(600),
            address: WindowsConfig::default(),
            everybody: WindowsConfig::default(),
            redis: RedisConfig::default(),
        }
    }
}

impl WindowsConfig {
    /// The windows that are there.
    #[must_use]
    pub fn quota(&self) -> Quota {
        quota(self.requests_per_second, Quota::requests_per_second)
            .and(quota(self.requests_per_minute, Quota::requests_per_minute))
            .and(quota(self.tokens_per_minute, Quota::tokens_per_minute))
            .and(quota(self.tokens_per_day, Quota::tokens_per_day))
    }
}

impl LimitsConfig {
    /// What a caller may ask for.
    #[must_use]
    pub fn quota(&self) -> Quota {
        Quota::requests_per_minute(self.requests_per_minute)
            .and(quota(self.tokens_per_minute, Quota::tokens_per_minute))
            .and(Quota::tokens_per_day(self.tokens_per_day))
    }

    /// Who may ask for how much; a reload hands them to [`RateLimitLayer::set_limits`].
    #[must_use]
    pub fn limits(&self) -> Limits {
        let mut limits = Limits::per_caller(self.quota())
            .per_address(self.address.quota())
            .for_everybody(self.everybody.quota());
        let (requests, tokens) = (&self.model_requests_per_minute, &self.model_tokens_per_minute);
        for model in requests.keys().chain(tokens.keys()) {
            let both = quota(requests.get(model).copied(), Quota::requests_per_minute)
                .and(quota(tokens.get(model).copied(), Quota::tokens_per_minute));
            limits = limits.per_model(model.as_str(), both);
        }
        limits
    }

    /// The layer that holds requests to it. With Redis it must be made where tokio runs.
    ///
    /// # Errors
    /// Where Redis is asked for, and its URL is none, or this was built without the feature `redis`.
    pub fn layer(&self) -> Result<RateLimitLayer, Error> {
        let layer = RateLimitLayer::new(self.limits())
            .default_max_tokens(self.default_max_tokens)
            .max_callers(self.max_callers);
        #[cfg(feature = "redis")]
        if let Some(shared) = self.redis.shared(self.deadline)? {
            return Ok(layer.shared(shared));
        }
        #[cfg(not(feature = "redis"))]
        if self.redis.url.is_some() {
            return Err(Error::unsupported(
                "redis_not_built",
                "limits are to be shared over Redis, and this program was built without it",
            )
            .with_hint(
                "build it with the feature redis of synapse-validator, or leave limits.redis.url out",
            ));
        }
        Ok(layer)
    }
}

fn quota(amount: Option<u64>, windows: fn(u64) -> Quota) -> Quota {
    amount.map_or(Quota::UNLIMITED, windows)
}

impl Configuration for LimitsConfig {
    fn check(&self, wrong: &mut Wrong) {
        #[cfg(feature = "redis")]
        if let Err(error) = self.redis.shared(self.deadline) {
            wrong.add("redis.url", error.to_string());
        }
        #[cfg(not(feature = "redis"))]
        if self.redis.url.is_some() {
            wrong.add("redis.url", "this program was built without Redis; leave it out");
        }
    }
}

impl Configuration for WindowsConfig {}

impl Configuration for RedisConfig {}
