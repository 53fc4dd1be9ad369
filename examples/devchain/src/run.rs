//! A chain that is kept and served.

use std::{collections::BTreeSet, net::SocketAddr, path::PathBuf, time::Duration};

use node_args::{KeyArgs, OptionalKeyArgs};
use synapse_chain::{LocalChain, LocalChainBuilder, remote::ChainApi};
use synapse_core::{Error, NodeId, Stake, SubnetId, SubnetParams, keys::Signer as _};
use synapse_http::{Server, tls::NodeTls};
use tokio::time::sleep;

use crate::amounts::{Grant, duration};

/// To how many accounts the faucet gives.
const FAUCET_ACCOUNTS: usize = 10_000;

/// How long those who wait for a block hear why none comes, once the chain halted.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Keep a chain in a directory and serve it to the subnet's nodes.
///
/// The line "ready URL" goes to standard output once it serves, everything else to standard error. RUST_LOG=info shows
/// more. SIGTERM or Ctrl-C ends it once what is under way is answered; a second one ends it at once.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Where it listens.
    #[arg(long, default_value = "127.0.0.1:9933")]
    listen: String,
    /// Where the chain is kept; one that is there already goes on.
    #[arg(long)]
    data_dir: PathBuf,
    /// The time between blocks.
    #[arg(long, default_value = "1s", value_parser = duration)]
    block_time: Duration,
    /// Makes a new chain's name and its blocks' times the same each time it is started from nothing.
    #[arg(long)]
    seed: Option<u64>,
    /// A subnet that the chain has; may be given several times.
    #[arg(long = "subnet", value_name = "ID", default_values_t = [7])]
    subnets: Vec<u64>,
    /// Blocks of an epoch of a new subnet.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(2..))]
    epoch_blocks: u64,
    /// Blocks at the end of an epoch in which weights are taken; a fifth of an epoch where this is left out.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    weighing_blocks: Option<u64>,
    /// Most members of a new subnet.
    #[arg(long, default_value_t = 256)]
    max_members: usize,
    /// Least stake of a member of a new subnet.
    #[arg(long, default_value_t = 0)]
    min_stake: u64,
    /// Least stake of a validator that sets weights in a new subnet.
    #[arg(long, default_value_t = 0)]
    min_validator_stake: u64,
    /// What a registration in a new subnet burns.
    #[arg(long, default_value_t = 0)]
    registration_fee: u64,
    /// For how many blocks nobody takes a new member's place.
    #[arg(long, default_value_t = 100)]
    immunity_blocks: u64,
    /// What an epoch of a new subnet pays out.
    #[arg(long, default_value_t = 0)]
    emission: u64,
    /// What an account of a new chain has; may be given several times.
    #[arg(long = "fund", value_name = "ADDRESS=AMOUNT")]
    grants: Vec<Grant>,
    /// Gives this much to whatever account asks with POST /v1/faucet and holds less; once, until the chain is started
    /// anew.
    #[arg(long, value_name = "AMOUNT")]
    faucet: Option<u64>,
    /// Serve plain HTTP on an address that other machines reach. Whoever is on the way can answer in the chain's place
    /// then, and say who the members are.
    #[arg(long)]
    allow_plain_http: bool,
    /// Connections of one address at once.
    #[arg(long, value_name = "COUNT", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..))]
    max_connections_per_peer: u16,
    /// With a key the chain is served over https, with a certificate that this key vouches for.
    #[command(flatten)]
    key: OptionalKeyArgs,
}

pub(crate) async fn run(options: Options) -> Result<(), Error> {
    options.check_grants()?;
    let server = Server::bind(&options.listen)
        .await?
        .max_connections_per_peer(options.max_connections_per_peer.into());
    options.check_address(server.local_addr())?;
    let (server, scheme) = match &options.key.named() {
        Some(key) => (server.tls(tls(key).await?), "https"),
        None => (server, "http"),
    };
    options.begin().await?;
    let chain = options.builder().block_time(options.block_time).build()?;
    eprintln!(
        "the chain {} goes on from block {}, kept in {}",
        chain.id(),
        chain.block(),
        options.data_dir.display()
    );
    let halted = halted(chain.clone());
    let api = ChainApi::new(chain).until(asked_to_stop()?);
    let api = match options.faucet {
        Some(amount) => api.faucet(Stake(amount), FAUCET_ACCOUNTS),
        None => api,
    };
    let serving = server
        .on_ready(move |address| node_args::say_ready(scheme, address))
        .serve(api);
    tokio::select! {
        served = serving => served,
        cause = halted => Err(cause),
    }
}

/// TLS of the key, whose address others have to know.
async fn tls(key: &KeyArgs) -> Result<NodeTls, Error> {
    let hotkey = key.unlock().await?.hotkey();
    eprintln!("serves with the key {}", hotkey.address());
    NodeTls::new(hotkey).await
}

/// Why the chain makes no more blocks, once those who wait for one could hear of it.
async fn halted(chain: LocalChain) -> Error {
    let mut halted = chain.halted();
    drop(chain);
    while let Some(cause) = halted.next().await {
        if let Some(cause) = &*cause {
            sleep(LAST_WORDS).await;
            return cause.clone();
        }
    }
    std::future::pending().await
}

impl Options {
    fn check_address(&self, address: SocketAddr) -> Result<(), Error> {
        if address.ip().is_loopback() || self.key.named().is_some() || self.allow_plain_http {
            return Ok(());
        }
        Err(Error::invalid(
            "plain_http",
            format!("{address} is reached by other machines, and this is plain HTTP"),
        )
        .with_hint("serve https with --key, listen on 127.0.0.1, or say --allow-plain-http"))
    }

    /// Two amounts for one account may be a slip of the hand, or meant to add up.
    fn check_grants(&self) -> Result<(), Error> {
        let mut funded: BTreeSet<&NodeId> = BTreeSet::new();
        match self.grants.iter().find(|grant| !funded.insert(&grant.account)) {
            None => Ok(()),
            Some(Grant { account, .. }) => Err(Error::invalid(
                "funded_twice",
                format!("{account} is given two amounts"),
            )
            .with_hint("say --fund once an account")),
        }
    }

    fn builder(&self) -> LocalChainBuilder {
        let builder = LocalChain::builder().store(&self.data_dir);
        match self.seed {
            Some(seed) => builder.seed(seed).seeded_step(self.block_time),
            None => builder,
        }
    }

    /// Gives a chain what it has from the start, unless it has it. Without a clock yet, so that nothing waits for a
    /// block.
    async fn begin(&self) -> Result<(), Error> {
        let chain = self.builder().build()?;
        let subnets = chain.subnets().await?;
        if subnets.is_empty() {
            for Grant { account, amount } in &self.grants {
                // An account that has something was funded before a start that was cut short.
                if chain.balance(account).await? == Stake(0) {
                    chain.fund(account, *amount)?;
                }
            }
        }
        for id in self.subnets.iter().map(|id| SubnetId(*id)) {
            if !subnets.contains(&id) {
                chain.create_subnet(id, self.params())?;
            }
        }
        Ok(())
    }

    fn params(&self) -> SubnetParams {
        let weighing = self.weighing_blocks.unwrap_or((self.epoch_blocks / 5).max(1));
        SubnetParams::default()
            .with_epochs(self.epoch_blocks, weighing)
            .with_max_members(self.max_members)
            .with_min_stakes(Stake(self.min_stake), Stake(self.min_validator_stake))
            .with_registration_fee(Stake(self.registration_fee))
            .with_immunity(self.immunity_blocks)
            .with_emission(Stake(self.emission))
    }
}

/// Resolves at the first signal to stop; the server listens for them, too.
#[cfg(unix)]
fn asked_to_stop() -> Result<impl Future<Output = ()>, Error> {
    use tokio::signal::unix::{SignalKind, signal};
    let failed = |error: std::io::Error| {
        Error::internal("signals_unavailable", "cannot listen for SIGTERM and SIGINT").with_source(error)
    };
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// Resolves at Ctrl-C; the server listens for it, too.
#[cfg(not(unix))]
fn asked_to_stop() -> Result<impl Future<Output = ()>, Error> {
    Ok(async {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending().await
        }
    })
}
