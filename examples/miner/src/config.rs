//! Which options the miner has.

use std::{net::SocketAddr, path::PathBuf};

use node_args::config::{KeyConfig, check_endpoint, check_variable};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use synapse_chain::config::ChainConfig;
use synapse_core::config::{Configuration, Wrong};
use synapse_http::config::ServerConfig;
use synapse_miner::config::{QueueConfig, RegisterConfig};

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
    /// What answers: one of llama, upstream and custom.
    pub(crate) engine: EngineConfig,
    /// Where validators ask it. Without TLS on an address that other machines reach only together with plain_http.
    pub(crate) server: ServerConfig,
    /// The queue before the engine.
    pub(crate) queue: QueueConfig,
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

/// What answers.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct EngineConfig {
    /// A language model, a GGUF file.
    #[schemars(extend("x-flag" = "llama", "x-value" = "MODEL.gguf", "x-example" = "model.gguf", "x-shown" = true, "x-restart" = true))]
    pub(crate) llama: Option<PathBuf>,
    /// Any endpoint that speaks the OpenAI API, without /v1.
    #[schemars(extend("x-flag" = "upstream", "x-value" = "URL", "x-example" = "http://127.0.0.1:11434", "x-restart" = true))]
    pub(crate) upstream: Option<String>,
    /// A module of one's own: the one of examples/custom_module, which answers with the last message, louder.
    #[schemars(extend("x-flag" = "custom", "x-restart" = true))]
    pub(crate) custom: bool,
    /// With llama: the name that requests use for the model; that of its file where this is left out.
    #[schemars(extend("x-flag" = "model-id", "x-value" = "NAME", "x-example" = "smollm2-135m", "x-restart" = true))]
    pub(crate) model_id: Option<String>,
    /// With llama: the longest prompt and reply together, in tokens.
    #[schemars(range(min = 1), extend("x-flag" = "context", "x-restart" = true))]
    pub(crate) context: u32,
    /// With llama: threads; all of the machine's where this is left out.
    #[schemars(range(min = 1, max = 4096), extend("x-flag" = "threads", "x-example" = 8, "x-restart" = true))]
    pub(crate) threads: Option<usize>,
    /// With upstream: the environment variable with the key that the endpoint wants.
    #[schemars(extend("x-flag" = "upstream-key-env", "x-value" = "NAME", "x-example" = "UPSTREAM_KEY", "x-restart" = true))]
    pub(crate) upstream_key_env: Option<String>,
    /// With custom: how often it says the last message.
    #[schemars(range(min = 1), extend("x-flag" = "times", "x-restart" = true))]
    pub(crate) times: u32,
    /// With custom: milliseconds before each word, as if it were a large model.
    #[schemars(extend("x-flag" = "pause-ms", "x-restart" = true))]
    pub(crate) pause_ms: u64,
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
            queue: QueueConfig::default(),
            register: RegisterConfig::default(),
            validators: ValidatorsConfig::default(),
        }
    }
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            llama: None,
            upstream: None,
            custom: false,
            model_id: None,
            context: 2048,
            threads: None,
            upstream_key_env: None,
            times: 1,
            pause_ms: 0,
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

impl EngineConfig {
    fn check(&self, wrong: &mut Wrong) {
        let kinds = [
            ("llama", self.llama.is_some()),
            ("upstream", self.upstream.is_some()),
            ("custom", self.custom),
        ];
        let mut named = kinds.iter().filter(|(_, is_named)| *is_named);
        match (named.next(), named.next()) {
            (None, _) => wrong.add("llama", "nothing answers; name one of llama, upstream and custom"),
            (Some((first, _)), Some((second, _))) => {
                wrong.add(second, format!("there is {first}, too; name one of the two"));
            }
            (Some(_), None) => {}
        }
        check_endpoint(wrong, "upstream", self.upstream.as_deref());
        check_variable(wrong, "upstream_key_env", self.upstream_key_env.as_deref());
        let default = Self::default();
        let of_llama = [
            ("model_id", self.model_id.is_some()),
            ("context", self.context != default.context),
            ("threads", self.threads.is_some()),
        ];
        let of_upstream = [("upstream_key_env", self.upstream_key_env.is_some())];
        let of_custom = [
            ("times", self.times != default.times),
            ("pause_ms", self.pause_ms != default.pause_ms),
        ];
        let mut only_with = |kind: &str, is_kind: bool, options: &[(&str, bool)]| {
            for (option, _) in options.iter().filter(|(_, is_set)| *is_set && !is_kind) {
                wrong.add(option, format!("it is only for {kind}"));
            }
        };
        only_with("llama", self.llama.is_some(), &of_llama);
        only_with("upstream", self.upstream.is_some(), &of_upstream);
        only_with("custom", self.custom, &of_custom);
    }
}
