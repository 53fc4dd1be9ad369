//! Options of the way to a chain, as a program's configuration has them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use synapse_core::{
    Endpoint, Error, NodeId, SubnetId,
    config::{Configuration, Period, Wrong},
    keys::{Scheme, check_address},
};

use crate::{LocalChain, remote::RemoteChainBuilder};

/// The chain and the subnet that a node belongs to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct ChainConfig {
    /// The chain.
    #[schemars(extend("x-flag" = "chain", "x-value" = "URL", "x-restart" = true))]
    pub url: String,
    /// The chain's key, by its address: with it the chain is reached over https, and nothing else is taken for it.
    #[schemars(extend("x-flag" = "chain-key", "x-value" = "ADDRESS", "x-example" = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY", "x-restart" = true))]
    pub key: Option<String>,
    /// Reach the chain over plain HTTP on another machine, too, where the network itself is private.
    #[schemars(extend("x-flag" = "allow-plain-chain", "x-restart" = true))]
    pub allow_plain_http: bool,
    /// The subnet.
    #[schemars(extend("x-flag" = "subnet", "x-value" = "ID", "x-restart" = true))]
    pub subnet: u64,
    /// How long a chain that is away is waited for before what was asked of it fails.
    #[schemars(extend("x-most" = "1d", "x-restart" = true))]
    pub patience: Period,
    /// How long a call may take until its receipt is known.
    #[schemars(extend("x-least" = "1s", "x-most" = "1d", "x-restart" = true))]
    pub submission_timeout: Period,
}

impl Default for ChainConfig {
    fn default() -> Self {
        Self {
            url: "http://127.0.0.1:9933".to_owned(),
            key: None,
            allow_plain_http: false,
            subnet: 7,
            patience: Period::seconds(30),
            submission_timeout: Period::seconds(120),
        }
    }
}

impl ChainConfig {
    /// The subnet's number.
    #[must_use]
    pub fn subnet(&self) -> SubnetId {
        SubnetId(self.subnet)
    }

    /// The way there.
    pub fn remote(&self) -> RemoteChainBuilder {
        let chain = LocalChain::remote(&self.url)
            .allow_plain_http(self.allow_plain_http)
            .patience(self.patience.get())
            .submission_timeout(self.submission_timeout.get());
        match &self.key {
            Some(key) => chain.server_key(NodeId::from(&**key)),
            None => chain,
        }
    }

    /// The chain, whether it answers already or not.
    ///
    /// # Errors
    /// As [`RemoteChainBuilder::connect_lazy`].
    pub fn connect_lazy(&self) -> Result<LocalChain, Error> {
        self.remote().connect_lazy()
    }
}

impl Configuration for ChainConfig {
    fn check(&self, wrong: &mut Wrong) {
        // Not echoed: a password may be part of it.
        if self.url.contains('@') {
            wrong.add("url", "it holds a user or a password, which no chain asks for");
        } else if let Err(error) = Endpoint::http(&self.url) {
            wrong.add("url", error.to_string());
        }
        if let Some(key) = &self.key {
            let scheme = if key.starts_with("0x") {
                Scheme::Secp256k1
            } else {
                Scheme::Sr25519
            };
            if let Err(error) = check_address(scheme, &NodeId::from(&**key)) {
                wrong.add("key", error.to_string());
            }
        }
    }
}
