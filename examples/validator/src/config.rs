//! Which options the validator has.

use std::{collections::BTreeMap, path::PathBuf};

use node_args::config::{KeyConfig, check_endpoint};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use synapse_chain::config::ChainConfig;
use synapse_core::config::{Configuration, Wrong};
use synapse_http::config::{CallersConfig, ReachConfig, ServerConfig, TlsConfig};
use synapse_validator::{
    billing::BillingConfig,
    config::{LimitsConfig, PoolConfig, ProbeConfig, ScoreConfig},
    transcript::TranscriptsConfig,
};

/// What a validator is told.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ValidatorConfig {
    /// A directory of this node's own.
    #[schemars(extend("x-value" = "DIR", "x-restart" = true))]
    pub(crate) data_dir: PathBuf,
    /// Where miners reach the gateway, to ask for their scores; it stands in the subnet's directory. Nowhere where this is
    /// left out.
    #[schemars(extend("x-value" = "URL", "x-example" = "https://validator.example.com", "x-restart" = true))]
    pub(crate) advertise: Option<String>,
    /// Judge the miners, and submit weights for them; without, it is a gateway alone.
    #[schemars(extend("x-restart" = true))]
    pub(crate) judge: bool,
    /// Models, and what counts the tokens of each: a GGUF file, a tokenizer.json, or one of OpenAI's vocabularies, o200k_base and
    /// cl100k_base. OpenAI's own models are known; others' tokens are estimated.
    #[schemars(extend("x-flag" = "tokenizer", "x-value" = "MODEL=SOURCE", "x-restart" = true))]
    pub(crate) tokenizers: BTreeMap<String, String>,
    /// The node's key, and what unlocks it.
    pub(crate) key: KeyConfig,
    /// The chain and the subnet that it belongs to.
    pub(crate) chain: ChainConfig,
    /// The gateway, which users ask.
    pub(crate) server: ServerConfig,
    /// The gateway's certificate, of files.
    pub(crate) tls: TlsConfig,
    /// Who may ask the gateway.
    pub(crate) callers: CallersConfig,
    /// Which miners are asked, and how.
    pub(crate) reach: ReachConfig,
    /// The miners, and how they are chosen and looked after.
    pub(crate) pool: PoolConfig,
    /// What a caller may ask for.
    pub(crate) limits: LimitsConfig,
    /// What requests cost, and the ledger of them.
    pub(crate) billing: BillingConfig,
    /// Prompts and answers, where they are kept.
    pub(crate) transcripts: TranscriptsConfig,
    /// The requests of its own by which miners are tried.
    pub(crate) probe: ProbeConfig,
    /// The standard score policy.
    pub(crate) score: ScoreConfig,
}

impl Default for ValidatorConfig {
    fn default() -> Self {
        Self {
            data_dir: "./validator".into(),
            advertise: None,
            judge: true,
            tokenizers: BTreeMap::new(),
            key: KeyConfig::default(),
            chain: ChainConfig::default(),
            server: ServerConfig::at("127.0.0.1:8080"),
            tls: TlsConfig::default(),
            callers: CallersConfig::default(),
            reach: ReachConfig::default(),
            pool: PoolConfig::default(),
            limits: LimitsConfig::default(),
            billing: BillingConfig::default(),
            transcripts: TranscriptsConfig::default(),
            probe: ProbeConfig::default(),
            score: ScoreConfig::default(),
        }
    }
}

impl Configuration for ValidatorConfig {
    fn check(&self, wrong: &mut Wrong) {
        wrong.within("chain", |wrong| self.chain.check(wrong));
        wrong.within("key", |wrong| self.key.check(wrong));
        wrong.within("server", |wrong| self.server.check(wrong));
        wrong.within("tls", |wrong| self.tls.check(wrong));
        wrong.within("callers", |wrong| {
            self.callers.check(wrong);
            self.callers.check_open(&self.server, wrong);
        });
        wrong.within("limits", |wrong| self.limits.check(wrong));
        wrong.within("billing", |wrong| self.billing.check(wrong));
        check_endpoint(wrong, "advertise", self.advertise.as_deref());
        if self.tls.certificate.is_none() {
            wrong.within("server", |wrong| self.server.check_plain(wrong));
        }
        if self.server.allow_plain_http && self.tls.certificate.is_some() {
            wrong.add(
                "server.allow_plain_http",
                "there is a certificate, so that nothing is plain",
            );
        }
    }
}
