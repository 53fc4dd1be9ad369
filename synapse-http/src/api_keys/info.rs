//! What is known of a key, but for the key.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use synapse_core::{Allowance, CallerId, Error, KeyId};

use super::ModelScope;

/// The longest name of a caller, in bytes.
const LONGEST_CALLER: usize = 64;
/// The longest name of a model, in bytes.
const LONGEST_MODEL: usize = 256;
/// The most models that a key is for one by one.
const MOST_MODELS: usize = 1024;
/// The longest note, in bytes.
const LONGEST_NOTE: usize = 256;

/// What is known of a key: all but the key itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApiKeyInfo {
    pub(super) id: KeyId,
    pub(super) caller: CallerId,
    /// All models where it is left out.
    #[serde(default, skip_serializing_if = "ModelScope::is_all")]
    pub(super) models: ModelScope,
    #[serde(default)]
    pub(super) allowance: Allowance,
    pub(super) created_ms: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) expires_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) revoked_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) note: String,
}

impl ApiKeyInfo {
    /// The name under which it is listed, counted and revoked. It says nothing of the key, and no other key ever has it.
    #[must_use]
    pub fn id(&self) -> &KeyId {
        &self.id
    }

    /// Whose key it is: the account that its requests are counted against.
    #[must_use]
    pub fn caller(&self) -> &CallerId {
        &self.caller
    }

    /// The models that it is for.
    #[must_use]
    pub fn models(&self) -> &ModelScope {
        &self.models
    }

    /// How much may be asked for with it.
    #[must_use]
    pub fn allowance(&self) -> &Allowance {
        &self.allowance
    }

    /// When it was made.
    #[must_use]
    pub fn created(&self) -> SystemTime {
        time(self.created_ms)
    }

    /// From when on it is good no more; `None` where that time never comes.
    #[must_use]
    pub fn expires(&self) -> Option<SystemTime> {
        self.expires_ms.map(time)
    }

    /// When it was revoked, where it was.
    #[must_use]
    pub fn revoked(&self) -> Option<SystemTime> {
        self.revoked_ms.map(time)
    }

    /// What its operator wrote beside it.
    #[must_use]
    pub fn note(&self) -> &str {
        &self.note
    }
}

/// A key that is to be made.
#[derive(Debug, Clone)]
#[must_use = "a key is made by ApiKeyStore::create"]
pub struct NewApiKey {
    pub(super) caller: String,
    pub(super) models: ModelScope,
    pub(super) allowance: Allowance,
    pub(super) expires: Option<SystemTime>,
    pub(super) note: String,
}

impl NewApiKey {
    /// A key of this account, for all models, without limits of its own, until it is revoked.
    ///
    /// A caller's name has letters, digits and `. _ - @ +`, at most 64: `ip:…`, as those are called who have no key, is none.
    pub fn for_caller(caller: impl Into<String>) -> Self {
        Self {
            caller: caller.into(),
            models: ModelScope::all(),
            allowance: Allowance::default(),
            expires: None,
            note: String::new(),
        }
    }

    /// For these models alone.
    pub fn models(mut self, models: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.models = ModelScope::only(models);
        self
    }

    /// For so much, beside what its caller may.
    pub fn allowance(mut self, allowance: Allowance) -> Self {
        self.allowance = allowance;
        self
    }

    /// Good until then.
    pub fn expires(mut self, at: SystemTime) -> Self {
        self.expires = Some(at);
        self
    }

    /// What to remember of it; one line.
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.note = note.into();
        self
    }

    pub(super) fn check(&self, now: SystemTime) -> Result<(), Error> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-@+".contains(&byte);
        if self.caller.is_empty() || self.caller.len() > LONGEST_CALLER || !self.caller.bytes().all(plain) {
            return Err(Error::invalid(
                "invalid_caller",
                format!("{:?} is no caller's name", shown(&self.caller)),
            )
            .with_hint("write 1 to 64 letters, digits and . _ - @ +"));
        }
        let names: Vec<&str> = self.models.names().into_iter().flatten().collect();
        let wrong =
            |name: &&str| name.is_empty() || name.len() > LONGEST_MODEL || name.contains(char::is_control);
        if let Some(name) = names.iter().copied().find(wrong) {
            return Err(Error::invalid(
                "invalid_model",
                format!("{:?} is no model's name", shown(name)),
            ));
        }
        if !self.models.is_all() && (names.is_empty() || names.len() > MOST_MODELS) {
            return Err(Error::invalid(
                "invalid_model",
                format!(
                    "a key is for 1 to {MOST_MODELS} models, or for all; this would be for {}",
                    names.len()
                ),
            ));
        }
        if self.note.len() > LONGEST_NOTE || self.note.contains(char::is_control) {
            return Err(Error::invalid(
                "invalid_note",
                format!("the note is longer than {LONGEST_NOTE} bytes, or no plain line"),
            ));
        }
        if self.expires.is_some_and(|at| at <= now) {
            return Err(
                Error::invalid("invalid_expiry", "the key would have expired before it is made")
                    .with_hint("name a time to come"),
            );
        }
        check_allowance(&self.allowance)
    }
}

/// Nothing at all is what a revoked key may.
fn check_allowance(allowance: &Allowance) -> Result<(), Error> {
    let Allowance {
        requests_per_minute,
        tokens_per_minute,
        tokens_per_day,
        tokens_per_month,
        spend_per_day,
        spend_per_month,
        ..
    } = allowance;
    let numbers = [
        *requests_per_minute,
        *tokens_per_minute,
        *tokens_per_day,
        *tokens_per_month,
    ];
    let money = [*spend_per_day, *spend_per_month].map(|amount| amount.map(|amount| amount.0));
    if numbers.into_iter().chain(money).any(|limit| limit == Some(0)) {
        return Err(Error::invalid(
            "invalid_allowance",
            "a limit of nothing would make a key that may nothing",
        )
        .with_hint("leave the limit out, or revoke the key"));
    }
    Ok(())
}

pub(super) fn millis(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// What no clock reaches never comes.
fn time(millis: u64) -> SystemTime {
    const LAST: Duration = Duration::from_secs(250_000_000_000);
    UNIX_EPOCH + Duration::from_millis(millis).min(LAST)
}

fn shown(text: &str) -> String {
    text.chars().take(80).collect()
}
