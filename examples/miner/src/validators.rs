//! Which validators are asked for scores, and as whom they are believed.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use clap::Args;
use synapse_core::{
    Directory, Endpoint, Error, Member, NodeId, Role, ScoreReport, Subnet as _, SubnetId, async_trait,
    config::Live, keys::Signer,
};
use synapse_http::ScoresClient;
use synapse_miner::node::ScoreSource;
use tokio::time::timeout;

use crate::config::{MinerConfig, ValidatorsConfig};

/// How long the chain is asked who is a validator.
const PATIENCE: Duration = Duration::from_secs(5);
/// The most validators whose connections are kept.
const MOST_KEPT: usize = 64;

/// As whom a validator at a URL is believed.
#[derive(Debug, Args)]
pub(crate) struct ValidatorKey {
    /// The validator's address: no other's word is taken. Where it is left out, the member of which the subnet's directory
    /// says that it serves there.
    #[arg(long, value_name = "ADDRESS", value_parser = node_args::address)]
    validator_key: Option<NodeId>,
}

/// The subnet's directory; `None` where the chain does not answer soon.
pub(crate) async fn directory(config: &MinerConfig) -> Result<Option<Arc<Directory>>, Error> {
    let subnet = config.chain.connect_lazy()?.subnet_lazy(config.chain.subnet());
    Ok(match timeout(PATIENCE, subnet.synced()).await {
        Ok(synced) => {
            synced?;
            Some(subnet.directory().current())
        }
        Err(_) => None,
    })
}

impl ValidatorKey {
    /// Asks the validator at `url`: the one that was named, or that the directory has there.
    pub(crate) async fn client(
        &self,
        url: &str,
        config: &MinerConfig,
        hotkey: Arc<dyn Signer>,
    ) -> Result<ScoresClient, Error> {
        let validator = match &self.validator_key {
            Some(validator) => validator.clone(),
            None => validator_at(directory(config).await?.as_deref(), url)?,
        };
        Ok(ScoresClient::new(url, validator, hotkey).subnet(config.chain.subnet()))
    }
}

/// The only validator of which the directory says that it serves at `url`.
fn validator_at(directory: Option<&Directory>, url: &str) -> Result<NodeId, Error> {
    let unknown = |why: &str| {
        Error::unavailable(
            "unknown_validator",
            format!("whose word to take at {url} is not known: {why}"),
        )
        .with_hint("name the validator's address: --validator-key ADDRESS")
    };
    let directory = directory.ok_or_else(|| unknown("the chain does not answer"))?;
    let at = base(&Endpoint::http(url)?);
    let mut there = directory.members().iter().filter(|member| {
        member.role == Role::Validator
            && member
                .endpoint
                .as_ref()
                .is_some_and(|endpoint| base(endpoint) == at)
    });
    match (there.next(), there.next()) {
        (Some(validator), None) => Ok(validator.node.clone()),
        (None, _) => Err(unknown("no validator of the subnet is listed there")),
        (Some(_), Some(_)) => Err(unknown("several validators of the subnet are listed there")),
    }
}

/// An API's address, which may be written with `/v1`.
fn base(endpoint: &Endpoint) -> String {
    let url = endpoint.to_string();
    url.strip_suffix("/v1").unwrap_or(&url).to_ascii_lowercase()
}

/// Asks validators at the addresses that the directory has of them.
pub(crate) struct Asks {
    hotkey: Arc<dyn Signer>,
    /// As it was at the start, as the node's.
    subnet: SubnetId,
    live: Live<MinerConfig>,
    kept: Mutex<BTreeMap<NodeId, Kept>>,
}

/// How a validator was asked last.
struct Kept {
    at: Option<Endpoint>,
    of: ValidatorsConfig,
    client: ScoresClient,
}

impl Asks {
    pub(crate) fn new(hotkey: Arc<dyn Signer>, live: Live<MinerConfig>) -> Self {
        Self {
            hotkey,
            subnet: live.current().chain.subnet(),
            live,
            kept: Mutex::default(),
        }
    }

    /// The one of before, as long as nothing changed.
    fn client(&self, validator: &Member) -> Result<ScoresClient, Error> {
        let options = self.live.current();
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kept) = kept.get(&validator.node)
            && kept.at == validator.endpoint
            && kept.of == options.validators
        {
            return Ok(kept.client.clone());
        }
        let of = options.validators.clone();
        let client = ScoresClient::listed(validator, self.hotkey.clone())?
            .subnet(self.subnet)
            .with(|builder| {
                builder
                    .allow_loopback(of.allow_loopback)
                    .allow_private(of.allow_private)
                    .allow_plain_http(of.allow_plain_http)
            });
        // Of those who come and go, the ones of before are not kept for ever.
        if kept.len() >= MOST_KEPT {
            kept.clear();
        }
        let at = validator.endpoint.clone();
        let new = Kept {
            at,
            of,
            client: client.clone(),
        };
        kept.insert(validator.node.clone(), new);
        Ok(client)
    }
}

#[async_trait]
impl ScoreSource for Asks {
    async fn report(&self, validator: &Member) -> Result<ScoreReport, Error> {
        let client = self.client(validator)?;
        Ok(client.report(None).await?.value().clone())
    }
}
