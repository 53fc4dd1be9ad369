//! What a chain says of itself and its subnets.

use std::time::Duration;

use serde_json::{Value, json};
use synapse_chain::{LocalChain, LocalSubnet, Supply};
use synapse_core::{
    Directory, Epoch, EpochId, Error, NodeId, Stake, Subnet, SubnetId, SubnetParams, Weights,
};

use crate::{amounts::address, table::Table};

/// Show a chain: its height, its subnets, their epochs and members.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The chain.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:9933")]
    chain: String,
    /// The key that the chain serves with, by its address; https needs it.
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    chain_key: Option<NodeId>,
    /// Ask over plain HTTP on another machine, too, where the network itself is private.
    #[arg(long)]
    allow_plain_chain: bool,
    /// One JSON document instead of tables.
    #[arg(long)]
    json: bool,
}

/// One subnet, as it is now.
struct Seen {
    id: SubnetId,
    epoch: Epoch,
    params: SubnetParams,
    directory: Directory,
    /// What the epoch before paid out.
    payouts: Vec<(NodeId, Stake)>,
    /// What validators submitted for this epoch.
    weights: Vec<(NodeId, Weights)>,
}

pub(crate) async fn status(options: &Options) -> Result<(), Error> {
    let patience = Duration::from_secs(3);
    let mut remote = LocalChain::remote(&options.chain)
        .patience(patience)
        .allow_plain_http(options.allow_plain_chain);
    if let Some(key) = &options.chain_key {
        remote = remote.server_key(key.clone());
    }
    let chain = remote.connect().await?;
    let supply = chain.supply().await?;
    let mut subnets = Vec::new();
    for id in chain.subnets().await? {
        subnets.push(see(&chain.subnet(id).await?).await?);
    }
    if options.json {
        let document = json!({
            "chain": chain.id(),
            "head": *chain.head().current(),
            "supply": supply,
            "subnets": subnets.iter().map(Seen::document).collect::<Vec<_>>(),
        });
        node_args::say(&format!("{document:#}\n"))
    } else {
        node_args::say(&shown(&chain, supply, &subnets))
    }
}

async fn see(subnet: &LocalSubnet) -> Result<Seen, Error> {
    let epoch = *subnet.epochs().current();
    let payouts = match epoch.id.0.checked_sub(1) {
        Some(before) => subnet.payouts(EpochId(before)).await?,
        None => Vec::new(),
    };
    Ok(Seen {
        id: subnet.id(),
        epoch,
        params: (*subnet.params().current()).clone(),
        directory: (*subnet.directory().current()).clone(),
        payouts,
        weights: subnet.weights(epoch.id).await?,
    })
}

fn shown(chain: &LocalChain, supply: Supply, subnets: &[Seen]) -> String {
    let mut out = format!(
        "chain {}  block {}  issued {}  burned {}\n",
        chain.id(),
        chain.block(),
        supply.issued,
        supply.burned
    );
    for subnet in subnets {
        let Epoch { id, phase, ends, .. } = subnet.epoch;
        let phase = format!("{phase:?}").to_lowercase();
        out.push_str(&format!(
            "\nsubnet {}  epoch {id}, {phase}, until block {ends}\n",
            subnet.id
        ));
        let mut members = Table::new(["MEMBER", "ROLE", "STAKE", "PAID", "ENDPOINT", "CAPABILITIES"]);
        for member in subnet.directory.members() {
            let endpoint = member
                .endpoint
                .as_ref()
                .map_or("-".to_owned(), ToString::to_string);
            // Enough of a digest to see that it changed.
            let capabilities = member.capabilities.as_deref().map_or("-", |digest| {
                digest.trim_start_matches("sha256:").get(..12).unwrap_or(digest)
            });
            members.row([
                member.node.to_string(),
                format!("{:?}", member.role).to_lowercase(),
                member.stake.to_string(),
                subnet.paid(&member.node).to_string(),
                endpoint,
                capabilities.to_owned(),
            ]);
        }
        out.push_str(&members.to_string());
        if subnet.weights.is_empty() {
            continue;
        }
        let mut weights = Table::new(["WEIGHTS OF", "MINER", "WEIGHT"]);
        for (validator, of) in &subnet.weights {
            for weight in of.as_slice() {
                weights.row([
                    validator.to_string(),
                    weight.node.to_string(),
                    weight.value.to_string(),
                ]);
            }
        }
        out.push_str(&weights.to_string());
    }
    out
}

impl Seen {
    fn paid(&self, node: &NodeId) -> Stake {
        let paid = self.payouts.iter().find(|(to, _)| to == node);
        paid.map_or(Stake(0), |(_, amount)| *amount)
    }

    fn document(&self) -> Value {
        let members = self.directory.members().iter();
        json!({
            "subnet": self.id,
            "epoch": self.epoch,
            "params": self.params,
            "members": members.map(|member| {
                let mut document = json!(member);
                document["last_payout"] = json!(self.paid(&member.node));
                document
            }).collect::<Vec<_>>(),
            "weights": self.weights.iter().map(|(validator, weights)| {
                json!({"validator": validator, "weights": weights})
            }).collect::<Vec<_>>(),
        })
    }
}
