//! What a gateway costs: our stack over HTTP beside a bare hyper passthrough; and what TLS and signatures cost on the hop
//! from a gateway to a miner.
//!
//! Each proxy, gateway and miner is a process of its own with one worker thread, under the same load. Runs are
//! interleaved; what is compared is the processes' own CPU time a request, which noise on the machine moves least.

mod compare;
mod load;
mod process;
mod proxies;
mod secured;
mod upstream;

use clap::{Parser, Subcommand, ValueEnum};

use self::{
    compare::{Subject, compare},
    process::Process,
    secured::{HOPS, Hop},
};

type Fault = Box<dyn std::error::Error + Send + Sync>;

/// Compare what our gateway costs with what a bare hyper passthrough costs, and a hop in plain HTTP with one over TLS and
/// a signed one.
#[derive(Debug, Parser)]
struct Options {
    #[command(subcommand)]
    part: Option<Part>,
    /// Rounds, in each of which everything runs once.
    #[arg(long, default_value_t = 7)]
    pairs: usize,
    /// Requests of a run that are answered whole.
    #[arg(long, default_value_t = 8_000)]
    requests: usize,
    /// Requests of a run that are streamed, 100 events each.
    #[arg(long, default_value_t = 400)]
    streams: usize,
    /// Connections that send requests.
    #[arg(long, default_value_t = 8)]
    connections: usize,
    /// One JSON document instead of tables.
    #[arg(long)]
    json: bool,
}

/// The processes that the comparison starts.
#[derive(Debug, Clone, Subcommand)]
enum Part {
    /// Answers at once.
    Upstream,
    /// A proxy in front of the upstream at this port.
    Proxy { kind: Kind, upstream: u16 },
    /// A miner that answers at once.
    Miner { hop: Hop },
    /// A gateway in front of the miner at this port.
    Gateway { hop: Hop, miner: u16 },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// hyper on both sides, and nothing between.
    Bare,
    /// Router, pool and client module, no layers.
    Stack,
    /// The same with the trace and rate limit layers.
    Limited,
}

const KINDS: [(&str, &str); 3] = [
    ("bare", "bare hyper"),
    ("stack", "stack"),
    ("limited", "stack, trace, limit"),
];

fn main() -> Result<(), Fault> {
    let options = Options::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    runtime.block_on(async {
        match options.part.clone() {
            Some(Part::Upstream) => upstream::run().await,
            Some(Part::Proxy { kind, upstream }) => proxies::run(kind, upstream).await,
            Some(Part::Miner { hop }) => secured::miner(hop).await,
            Some(Part::Gateway { hop, miner }) => secured::gateway(hop, miner).await,
            None => run(options).await,
        }
    })
}

async fn run(options: Options) -> Result<(), Fault> {
    let upstream = Process::start(&["upstream"]).await?;
    let port = upstream.port.to_string();
    let mut proxies = Vec::new();
    for (name, title) in KINDS {
        let processes = vec![Process::start(&["proxy", name, &port]).await?];
        proxies.push(Subject { title, processes });
    }
    let mut rows = compare(&proxies, &options).await?;
    drop(proxies);

    let mut hops = Vec::new();
    for (name, title) in HOPS {
        let miner = Process::start(&["miner", name]).await?;
        let gateway = Process::start(&["gateway", name, &miner.port.to_string()]).await?;
        let processes = vec![gateway, miner];
        hops.push(Subject { title, processes });
    }
    if !options.json {
        println!("\nThe hop from gateway to miner, both processes together:\n");
    }
    rows.extend(compare(&hops, &options).await?);
    if options.json {
        println!("{}", serde_json::Value::Array(rows));
    }
    Ok(())
}
