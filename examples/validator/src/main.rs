//! A validator's gateway: requests over the OpenAI API, spread over the miners of a subnet.
//!
//! ```text
//! cargo run -p validator -- --chain http://127.0.0.1:9933 --subnet 7 --key validator
//! ```

mod tokens;

use std::{path::PathBuf, process::ExitCode, time::Duration};

use clap::Parser;
use node_args::{ChainArgs, KeyArgs};
use synapse_core::{DataDir, Error, InferenceModule, ModuleExt, Subnet, keys::Signer, layers::DeadlineLayer};
use synapse_http::{Server, SignedHttp, tls::PemFiles};
use synapse_validator::{MinerPool, P2c, PeakEwma, Quota, RateLimitLayer, TokenCountLayer, TraceLayer};
use tokio::time::{Instant, sleep};
use tower::ServiceBuilder;

/// How long a first miner is waited for once the chain is known.
const FIRST_MINER: Duration = Duration::from_secs(10);

/// Serve the OpenAI API over the miners of a subnet, asked with signed requests.
///
/// It starts before its chain and its miners do, and is ready once it knows the chain: /health/ready says what it waits
/// for. Limits are kept in memory, and begin anew with the process. The line "ready URL" goes to standard output once it
/// serves, everything else to standard error; RUST_LOG=info shows each request. SIGTERM or Ctrl-C lets what is under way
/// end, a second one ends it at once.
#[derive(Debug, Parser)]
struct Options {
    #[command(flatten)]
    chain: ChainArgs,
    #[command(flatten)]
    key: KeyArgs,
    /// A directory of this node's own.
    #[arg(long, default_value = "./validator")]
    data_dir: PathBuf,
    /// Where the gateway listens.
    #[arg(long, default_value = "127.0.0.1:8080")]
    listen: String,
    /// The gateway's certificate, for TLS with its clients.
    #[arg(long, value_name = "PEM", requires = "tls_key")]
    tls_certificate: Option<PathBuf>,
    /// The key of the certificate.
    #[arg(long, value_name = "PEM", requires = "tls_certificate")]
    tls_key: Option<PathBuf>,
    /// Serve without TLS on an address that other machines reach, where the network itself is private.
    #[arg(long, conflicts_with = "tls_certificate")]
    allow_plain_http: bool,
    /// Ask miners on this machine, too.
    #[arg(long)]
    allow_loopback: bool,
    /// Ask miners at private addresses, too.
    #[arg(long)]
    allow_private: bool,
    /// Ask miners on other machines without TLS, too, where they advertise plain HTTP.
    #[arg(long)]
    allow_plain_miners: bool,
    /// Count a model's tokens with its own tokenizer, of a GGUF file; may be given several times. Others' are estimated.
    #[arg(long = "tokenizer", value_name = "MODEL=FILE.gguf")]
    tokenizers: Vec<tokens::Source>,
    /// Requests that a caller may make a minute.
    #[arg(long, default_value_t = 600, value_parser = clap::value_parser!(u64).range(1..))]
    requests_per_minute: u64,
    /// Tokens that a caller may use a day, prompts and replies together.
    #[arg(long, default_value_t = 2_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    tokens_per_day: u64,
    /// Seconds after which a request is ended, whole reply included.
    #[arg(long, default_value_t = 600, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    deadline: u64,
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
    let server = Server::bind(&options.listen)
        .await?
        .allow_plain_http(options.allow_plain_http);
    let (scheme, server) = match (&options.tls_certificate, &options.tls_key) {
        (Some(certificate), Some(key)) => ("https", server.tls(PemFiles::read(certificate, key)?)),
        _ => ("http", server),
    };
    let tokenizers = tokens::load(&options.tokenizers).await?;
    let subnet = options.chain.connect_lazy()?.subnet_lazy(options.chain.subnet());

    let deadline = Duration::from_secs(options.deadline);
    let connect = SignedHttp::new(hotkey.clone()).with(|builder| {
        builder
            .head_timeout(deadline)
            .allow_loopback(options.allow_loopback)
            .allow_private(options.allow_private)
            .allow_plain_http(options.allow_plain_miners)
    });
    let (trace, count) = (TraceLayer::new(), TokenCountLayer::new(tokenizers));
    let limit = RateLimitLayer::per_caller(
        Quota::requests_per_minute(options.requests_per_minute)
            .and(Quota::tokens_per_day(options.tokens_per_day)),
    );
    let gateway = MinerPool::watch(subnet.directory(), connect)
        .balance(P2c::new(PeakEwma::default()))
        .first_content_within(deadline)
        .with(
            ServiceBuilder::new()
                .layer(trace.clone())
                .layer(count.clone())
                .layer(limit.clone())
                .layer(DeadlineLayer::new(deadline)),
        )
        .attach(trace)
        .attach(count)
        .attach(limit);

    let what = format!("the chain at {}", options.chain.url());
    eprintln!("{} waits for {what}", hotkey.address());
    let (known, synced, first) = (subnet.clone(), subnet.clone(), gateway.clone());
    let register = options.chain.register_command(&options.key);
    let api = synapse_http::router(gateway)
        .ready_when(what, async move {
            known.synced().await?;
            let node = hotkey.address();
            if known.directory().current().get(node).is_none() {
                eprintln!(
                    "{node} is no member of the subnet, and miners refuse it until it is:\n  \
                     {register} --role validator --stake …"
                );
            }
            Ok(())
        })
        .ready_when("a first miner", async move {
            synced.synced().await?;
            first_miner(&first).await
        });

    let served = server
        .drain_timeout(Duration::from_secs(options.drain))
        .on_ready(move |address| println!("ready {scheme}://{address}"))
        .serve(api)
        .await;
    // The chain is followed for as long as somebody holds the subnet.
    drop(subnet);
    served
}

/// Waits until one miner can be asked, or for a while: a gateway serves without, and says so.
async fn first_miner(gateway: &impl InferenceModule) -> Result<(), Error> {
    let until = Instant::now() + FIRST_MINER;
    while Instant::now() < until && !gateway.health_check().await?.is_serving() {
        sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}
