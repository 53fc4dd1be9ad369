//! Options of a node's key.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use synapse_chain::config::ChainConfig;
use synapse_core::{
    Error,
    config::{Configuration, Wrong},
    keys::Keys,
};

use super::check_variable;
use crate::{KeyArgs, PassphraseArgs};

/// The node's key, and what unlocks it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct KeyConfig {
    /// The keystore; the program `keys` makes keys.
    #[schemars(extend("x-flag" = "keys", "x-value" = "DIR", "x-restart" = true))]
    pub store: PathBuf,
    /// The node's key in it: WALLET or WALLET/HOTKEY.
    #[schemars(extend("x-flag" = "key", "x-value" = "NAME", "x-required" = true, "x-example" = "node", "x-restart" = true))]
    pub name: String,
    /// The file with the passphrase, which its owner alone may read; a prompt asks for it where nothing is named.
    #[schemars(extend("x-flag" = "passphrase-file", "x-value" = "FILE", "x-example" = "/etc/synapse/passphrase", "x-restart" = true))]
    pub passphrase_file: Option<PathBuf>,
    /// The environment variable with the passphrase.
    #[schemars(extend("x-flag" = "passphrase-env", "x-value" = "NAME", "x-example" = "SYNAPSE_PASSPHRASE", "x-restart" = true))]
    pub passphrase_env: Option<String>,
}

impl Default for KeyConfig {
    fn default() -> Self {
        Self {
            store: "./keys".into(),
            name: String::new(),
            passphrase_file: None,
            passphrase_env: None,
        }
    }
}

impl KeyConfig {
    /// Unlocks the key.
    ///
    /// # Errors
    /// As [`KeyArgs::unlock`].
    pub async fn unlock(&self) -> Result<Keys, Error> {
        let passphrase = PassphraseArgs {
            passphrase_file: self.passphrase_file.clone(),
            passphrase_env: self.passphrase_env.clone(),
        };
        let (keys, key) = (self.store.clone(), self.name.clone());
        KeyArgs {
            keys,
            key,
            passphrase,
        }
        .unlock()
        .await
    }

    /// The command that makes the node with this key a member of the subnet, but for its role and its stake.
    #[must_use]
    pub fn register_command(&self, chain: &ChainConfig) -> String {
        let mut command = format!("register --chain {}", chain.url);
        if let Some(key) = &chain.key {
            command.push_str(&format!(" --chain-key {key}"));
        }
        if chain.allow_plain_http {
            command.push_str(" --allow-plain-chain");
        }
        let (keys, key) = (self.store.display(), &self.name);
        command + &format!(" --subnet {} --keys {keys} --key {key}", chain.subnet)
    }
}

impl Configuration for KeyConfig {
    fn check(&self, wrong: &mut Wrong) {
        if self.passphrase_file.is_some() && self.passphrase_env.is_some() {
            wrong.add(
                "passphrase_env",
                "there is a passphrase_file, too; name one of the two",
            );
        }
        check_variable(wrong, "passphrase_env", self.passphrase_env.as_deref());
    }
}
