//! Makes a node a member of a subnet, or gives a member another key.
//!
//! ```text
//! cargo run -p register -- --key miner-1 --role miner --stake 100 --faucet
//! cargo run -p register -- --key operator/new --coldkey operator/coldkey --replaces 5F…
//! ```

mod faucet;

use std::{process::ExitCode, sync::Arc};

use clap::{Parser, ValueEnum};
use node_args::{ChainArgs, KeyArgs};
use serde_json::json;
use synapse_core::{
    Error, NodeId, Role, Stake,
    keys::{Keypair, Signer},
};

/// Make a node a member of a subnet, and print the member.
///
/// The stake comes from the owner's balance: the coldkey's where one is named, else the node's own. The owner can take
/// the node out again and earns what it earns. A registered node may be registered again, to change its stake.
#[derive(Debug, Parser)]
struct Options {
    #[command(flatten)]
    chain: ChainArgs,
    #[command(flatten)]
    key: KeyArgs,
    /// The key that pays and owns the node, under the same passphrase: WALLET/coldkey.
    #[arg(long, value_name = "NAME")]
    coldkey: Option<String>,
    /// What the node does.
    #[arg(long, value_enum, required_unless_present = "replaces")]
    role: Option<WhichRole>,
    /// What it stakes.
    #[arg(long, value_name = "AMOUNT", required_unless_present = "replaces")]
    stake: Option<u64>,
    /// The member whose place this key takes, with its stake, its earnings and its age: a key that is to be used no more.
    /// Once an epoch.
    #[arg(long, value_name = "ADDRESS", conflicts_with_all = ["role", "stake", "faucet"])]
    replaces: Option<String>,
    /// Let the chain's faucet fund the owner first, once an account: chains for development have one. Not over https.
    #[arg(long)]
    faucet: bool,
    /// One JSON document instead of lines.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum WhichRole {
    Miner,
    Validator,
}

impl From<WhichRole> for Role {
    fn from(role: WhichRole) -> Self {
        match role {
            WhichRole::Miner => Self::Miner,
            WhichRole::Validator => Self::Validator,
        }
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    node_args::log();
    node_args::ended(run(Options::parse()).await)
}

async fn run(options: Options) -> Result<(), Error> {
    let node = options.key.unlock().await?.hotkey();
    let owner: Arc<Keypair> = match &options.coldkey {
        Some(name) => Arc::new(options.key.keypair(name).await?),
        None => node.clone(),
    };
    // First, since it refuses a chain that nothing protects the way to.
    let chain = options.chain.connect_lazy()?;
    if options.faucet {
        faucet::ask(options.chain.url(), owner.address()).await?;
    }
    let chain = chain.with_signer(owner);
    let subnet = chain.subnet_lazy(options.chain.subnet());
    let member = match (&options.replaces, options.role.zip(options.stake)) {
        (Some(old), _) => subnet.rotate_key(&NodeId::from(&**old), &*node).await?,
        (None, Some((role, stake))) => subnet.register_node(&*node, role.into(), Stake(stake)).await?,
        (None, None) => {
            return Err(Error::invalid(
                "no_role",
                "a registration needs a role and a stake",
            ));
        }
    };
    if options.json {
        println!(
            "{}",
            json!({"chain": chain.id(), "subnet": options.chain.subnet(), "member": member})
        );
        return Ok(());
    }
    println!("node      {}", member.node);
    println!("owner     {}", member.owner);
    println!("role      {}", format!("{:?}", member.role).to_lowercase());
    println!("stake     {}", member.stake);
    println!("since     block {}", member.active_since);
    match member.endpoint {
        Some(endpoint) => println!("serves    {endpoint}"),
        None => println!("serves    nowhere yet: start it, and it says where"),
    }
    Ok(())
}
