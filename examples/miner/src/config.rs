//! Which options the miner has.

use std::{net::SocketAddr, path::PathBuf};

use node_args::config::{KeyConfig, check_endpoint};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use synapse_chain::config::ChainConfig;
use synapse_core::config::{Configuration, Wrong};
use synapse_http::config::ServerConfig;
use synapse_miner::config::{
    AccessConfig, AdmissionConfig, BreakerConfig, MonitorConfig, QueueConfig, RegisterConfig, ScaleConfig,
};

use crate::engine::EngineConfig;

/// What a miner is told.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct MinerConfig {
    /// A directory of this node's own.
    #[schemars(extend("x-value" = "DIR", "x-restart" = true))]
    pub(crate) data_dir: PathBuf,
    /// Where validators reach it; the address that it listens on where this is left out. It moves without a restart where
    /// it stood here at the start.
    #[schemars(extend("x-value" = "URL", "x-example" = "https://miner.example.com:8091"))]
    pub(crate) advertise: Option<String>,
    /// The least stake of a validator that is served.
    #[schemars(extend("x-value" = "AMOUNT", "x-restart" = true))]
    pub(crate) min_stake: u64,
    /// No TLS: on loopback only.
    #[schemars(extend("x-restart" = true))]
    pub(crate) plain_http: bool,
    /// Where this machine's operator finds /metrics, without a signature and without TLS: on loopback only.
    #[schemars(extend("x-value" = "ADDRESS", "x-example" = "127.0.0.1:9091", "x-restart" = true))]
    pub(crate) metrics: Option<String>,
    /// The node's key, and what unlocks it.
    pub(crate) key: KeyConfig,
    /// The chain and the subnet that it belongs to.
    pub(crate) chain: ChainConfig,
    /// What answers: one of ollama, llama_server, vllm, upstream, container, llama and custom.
    pub(crate) engine: EngineConfig,
    /// Where validators ask it. Without TLS on an address that other machines reach only together with plain_http.
    pub(crate) server: ServerConfig,
    /// Who may call, and how much each of them.
    pub(crate) access: AccessConfig,
    /// How many requests the engine is given at once, and what is kept free for it.
    pub(crate) admission: AdmissionConfig,
    /// How the machine is watched.
    pub(crate) monitor: MonitorConfig,
    /// The queue before the engine.
    pub(crate) queue: QueueConfig,
    /// When an engine that fails is left alone, and for how long.
    pub(crate) breaker: BreakerConfig,
    /// How many there are of a container, or of a llama_server that is started here.
    pub(crate) scale: ScaleConfig,
    /// Whether it registers itself, and what that may cost.
    pub(crate) register: RegisterConfig,
    /// Where validators are, who are asked for scores, and as whom the preflight looks.
    pub(crate) validators: ValidatorsConfig,
}

/// Where validators are.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ValidatorsConfig {
    /// There are validators on this machine.
    #[schemars(extend("x-flag" = "allow-loopback"))]
    pub(crate) allow_loopback: bool,
    /// There are validators at private addresses.
    #[schemars(extend("x-flag" = "allow-private"))]
    pub(crate) allow_private: bool,
    /// There are validators without TLS on other machines, and they take miners without TLS.
    #[schemars(extend("x-flag" = "allow-plain-validators"))]
    pub(crate) allow_plain_http: bool,
}

impl Default for MinerConfig {
    fn default() -> Self {
        Self {
            data_dir: "./miner".into(),
            advertise: None,
            min_stake: 0,
            plain_http: false,
            metrics: None,
            key: KeyConfig::default(),
            chain: ChainConfig::default(),
            engine: EngineConfig::default(),
            server: ServerConfig::at("127.0.0.1:8091"),
            access: AccessConfig::default(),
            admission: AdmissionConfig::default(),
            monitor: MonitorConfig::default(),
            queue: QueueConfig::default(),
            breaker: BreakerConfig::default(),
            scale: ScaleConfig::default(),
            register: RegisterConfig::default(),
            validators: ValidatorsConfig::default(),
        }
    }
}

impl Configuration for MinerConfig {
    fn check(&self, wrong: &mut Wrong) {
        self.check_but_for_tls(wrong);
        if self.plain_http {
            wrong.within("server", |wrong| self.server.check_plain(wrong));
        }
    }
}

impl MinerConfig {
    /// The preflight says itself what would not be served without TLS.
    pub(crate) fn check_but_for_tls(&self, wrong: &mut Wrong) {
        wrong.within("chain", |wrong| self.chain.check(wrong));
        wrong.within("key", |wrong| self.key.check(wrong));
        wrong.within("server", |wrong| self.server.check(wrong));
        wrong.within("engine", |wrong| self.engine.check(wrong));
        wrong.within("access", |wrong| self.access.check(wrong));
        wrong.within("scale", |wrong| {
            self.scale.check(wrong);
            if self.scale.max > 1 && !self.engine.is_scaled() {
                wrong.add(
                    "max",
                    "there is one of this engine: several are for a container, and a llama_server that is started here",
                );
            }
        });
        wrong.within("monitor", |wrong| self.monitor.check(wrong));
        wrong.within("breaker", |wrong| self.breaker.check(wrong));
        wrong.within("register", |wrong| self.register.check(wrong));
        check_endpoint(wrong, "advertise", self.advertise.as_deref());
        if self.advertise.is_none() && is_every_address(&self.server.listen) {
            wrong.add(
                "advertise",
                "it is missing, and it listens on every address of this machine: say where validators reach it, as https://host:port",
            );
        }
        if self.server.allow_plain_http && !self.plain_http {
            wrong.add("server.allow_plain_http", "it takes plain_http, too");
        }
    }
}

fn is_every_address(listen: &str) -> bool {
    listen
        .parse()
        .is_ok_and(|address: SocketAddr| address.ip().is_unspecified())
}
