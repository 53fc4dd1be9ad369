//! A chain that is kept and served.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use synapse_chain::{LocalChain, LocalChainBuilder, remote::ChainApi};
use synapse_core::{Error, Stake, SubnetId, SubnetParams};
use synapse_http::Server;

use crate::amounts::{Grant, duration};

/// To how many accounts the faucet gives.
const FAUCET_ACCOUNTS: usize = 10_000;

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
    /// Gives this much, once, to whatever account asks with POST /v1/faucet.
    #[arg(long, value_name = "AMOUNT")]
    faucet: Option<u64>,
    /// Serve plain HTTP on an address that other machines reach. Anybody on the way can read along then; calls are
    /// signed all the same.
    #[arg(long)]
    allow_plain_http: bool,
}

pub(crate) async fn run(options: Options) -> Result<(), Error> {
    let server = Server::bind(&options.listen).await?;
    options.check_address(server.local_addr())?;
    options.begin().await?;
    let chain = options
        .builder(&options.data_dir)
        .block_time(options.block_time)
        .build()?;
    eprintln!(
        "the chain {} goes on from block {}, kept in {}",
        chain.id(),
        chain.block(),
        options.data_dir.display()
    );
    let api = ChainApi::new(chain).until(asked_to_stop()?);
    let api = match options.faucet {
        Some(amount) => api.faucet(Stake(amount), FAUCET_ACCOUNTS),
        None => api,
    };
    server
        .on_ready(|address| println!("ready http://{address}"))
        .serve(api)
        .await
}

impl Options {
    fn check_address(&self, address: SocketAddr) -> Result<(), Error> {
        if address.ip().is_loopback() || self.allow_plain_http {
            return Ok(());
        }
        Err(Error::invalid(
            "plain_http",
            format!("{address} is reached by other machines, and this is plain HTTP"),
        )
        .with_hint("listen on 127.0.0.1, or say --allow-plain-http"))
    }

    fn builder(&self, directory: &Path) -> LocalChainBuilder {
        let builder = LocalChain::builder().store(directory);
        match self.seed {
            Some(seed) => builder.seed(seed),
            None => builder,
        }
    }

    /// Gives a chain what it has from the start, unless it has it. Without a clock yet, so that nothing waits for a
    /// block.
    async fn begin(&self) -> Result<(), Error> {
        let chain = self.builder(&self.data_dir).build()?;
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
