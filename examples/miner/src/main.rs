//! A miner: an engine behind a queue, served to the validators of a subnet.
//!
//! ```text
//! cargo run -p miner -- --key miner-1 --llama model.gguf --advertise https://miner.example.com:8091
//! cargo run -p miner -- --key miner-1 --upstream http://127.0.0.1:11434
//! cargo run -p miner --no-default-features -- --key miner-1 --custom
//! ```

mod engine;

use std::{future::pending, net::SocketAddr, path::PathBuf, process::ExitCode, sync::Arc, time::Duration};

use clap::Parser;
use node_args::{ChainArgs, KeyArgs};
use synapse_core::{DataDir, Endpoint, Error, ModuleExt, Role, Stake, Subnet, keys::Signer};
use synapse_http::{Api, Server, Verifier, tls::NodeTls};
use synapse_miner::{Advertised, Advertiser, QueueLayer};
use tokio::sync::oneshot;

use self::engine::EngineArgs;

/// Serve an engine to the validators of a subnet, who sign what they ask.
///
/// It starts before its chain does, and is ready once it knows the chain: /health/ready says what it waits for. From
/// then on it keeps its endpoint in the subnet's directory. The line "ready URL" goes to standard output once it serves,
/// everything else to standard error; RUST_LOG=info shows more. SIGTERM or Ctrl-C lets what is under way end, a second
/// one ends it at once.
#[derive(Debug, Parser)]
struct Options {
    #[command(flatten)]
    chain: ChainArgs,
    #[command(flatten)]
    key: KeyArgs,
    #[command(flatten)]
    engine: EngineArgs,
    /// A directory of this node's own.
    #[arg(long, default_value = "./miner")]
    data_dir: PathBuf,
    /// Where it listens.
    #[arg(long, default_value = "127.0.0.1:8091")]
    listen: String,
    /// Where validators reach it; the address that it listens on where this is left out.
    #[arg(long, value_name = "URL")]
    advertise: Option<String>,
    /// Requests that the engine works on at once.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=1024))]
    parallel: u16,
    /// Requests that wait for it.
    #[arg(long, default_value_t = 64)]
    waiting: usize,
    /// The least stake of a validator that is served.
    #[arg(long, default_value_t = 0)]
    min_stake: u64,
    /// No TLS: on loopback only.
    #[arg(long)]
    plain_http: bool,
    /// With --plain-http: also on an address that other machines reach, where the network itself is private.
    #[arg(long, requires = "plain_http")]
    allow_plain_http: bool,
    /// Where this machine's operator finds /metrics, without a signature and without TLS: on loopback only.
    #[arg(long, value_name = "ADDRESS")]
    metrics: Option<String>,
    /// Seconds for what is under way once it is told to end.
    #[arg(long, default_value_t = 30)]
    drain: u64,
}

#[tokio::main]
async fn main() -> ExitCode {
    node_args::log();
    node_args::ended(run(Options::parse()).await)
}

async fn run(options: Options) -> Result<(), Error> {
    let _data = DataDir::open(&options.data_dir)?;
    let hotkey = options.key.unlock().await?.hotkey();
    let server = Server::bind(&options.listen).await?;
    let endpoint = options.endpoint(server.local_addr())?;
    let metrics = match &options.metrics {
        Some(address) => Some(Server::bind(address).await?.allow_plain_http(false)),
        None => None,
    };
    let engine = options.engine.start(usize::from(options.parallel)).await?;

    let chain = options.chain.connect_lazy()?;
    let subnet = chain
        .with_signer(hotkey.clone())
        .subnet_lazy(options.chain.subnet());
    let verifier = Verifier::new(hotkey.address().clone(), subnet.directory())
        .callers([Role::Validator])
        .min_stake(Stake(options.min_stake));
    let queue = QueueLayer::bounded(options.waiting).concurrency(usize::from(options.parallel));
    let module = engine.with(queue.clone()).attach(queue);

    let what = format!("the chain at {}", options.chain.url());
    eprintln!("{} waits for {what}", hotkey.address());
    let known = subnet.clone();
    let api = synapse_http::router(module)
        .signed(verifier)
        .ready_when(what, async move { known.synced().await });
    let server = if options.plain_http {
        server.allow_plain_http(options.allow_plain_http)
    } else {
        server.tls(NodeTls::new(hotkey.clone()).await?)
    };
    let metrics = serve_beside(metrics, api.metrics_router());
    let (ready, is_ready) = oneshot::channel();
    let (draining, is_draining) = oneshot::channel();
    let shown = endpoint.clone();
    let server = server
        .drain_timeout(Duration::from_secs(options.drain))
        .on_draining(move || {
            let _ = draining.send(());
        })
        .on_ready(move |address| {
            let _ = ready.send(());
            println!("ready {}", url(options.plain_http, address));
            eprintln!("it is asked at {shown}");
        });

    let node = hotkey.address().clone();
    let register = options.chain.register_command(&options.key);
    let advertiser = Advertiser::new(Arc::new(subnet), node.clone(), endpoint).on_change(move |now| match now {
        Advertised::Unregistered => eprintln!(
            "{node} is no member of the subnet, so nobody asks it until it is:\n  {register} --role miner --stake …"
        ),
        Advertised::Listed => eprintln!("the subnet's directory lists {node}"),
        Advertised::Elsewhere(other) => eprintln!(
            "the subnet's directory lists {node} at {other} now: another process has its key, and one of the two must stop"
        ),
        Advertised::Failed(error) => eprintln!("the subnet's directory does not list {node} yet: {error}"),
        _ => {}
    });
    let advertising = async {
        if is_ready.await.is_ok() {
            // While it drains, whoever takes its place says where that is.
            tokio::select! {
                () = advertiser.run() => {}
                _ = is_draining => {}
            }
        }
        pending().await
    };
    tokio::select! {
        served = server.serve(api) => served,
        ended = advertising => ended,
        Err(error) = metrics => Err(error),
    }
}

/// Serves for as long as it is polled: until the miner's own server, which listens for signals, has ended.
async fn serve_beside(server: Option<Server>, api: impl Into<Api>) -> Result<(), Error> {
    match server {
        Some(server) => server.shutdown(pending()).serve(api).await,
        None => pending().await,
    }
}

impl Options {
    /// What the directory is to say.
    fn endpoint(&self, listening: SocketAddr) -> Result<Endpoint, Error> {
        if let Some(url) = &self.advertise {
            return Endpoint::http(url);
        }
        if listening.ip().is_unspecified() {
            return Err(Error::invalid(
                "no_address",
                format!("{listening} is every address of this machine, and none that validators could ask"),
            )
            .with_hint("say where they reach it: --advertise https://host:port"));
        }
        Endpoint::http(&url(self.plain_http, listening))
    }
}

fn url(plain_http: bool, address: SocketAddr) -> String {
    let scheme = if plain_http { "http" } else { "https" };
    format!("{scheme}://{address}")
}
