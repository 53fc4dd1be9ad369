//! A whole inference subnet in one process: a gateway, miners, a chain, a real language model.
//!
//! ```text
//! scripts/demo                                         # fetches a small model and starts this
//! cargo run -p subnet -- --model model.gguf
//! cargo run -p subnet -- --model model.gguf --once "Name three primary colours."
//! ```

mod ask;
mod miners;
mod progress;

use std::{path::PathBuf, process::ExitCode, time::Duration};

use clap::Parser;
use synapse_chain::LocalChain;
use synapse_core::{Error, ModuleExt, Subnet, SubnetId, SubnetParams, layers::DeadlineLayer};
use synapse_http::{HttpConnect, Server};
use synapse_validator::{
    MinerPool, P2c, PeakEwma, Quota, RateLimitLayer, TokenCountLayer, Tokenizers, TraceLayer,
};
use tokio::{sync::oneshot, task::JoinError};
use tower::ServiceBuilder;

/// Run a whole inference subnet in one process: a gateway, miners, a chain and a real language model.
///
/// The gateway speaks the OpenAI API; point any client's base URL at its address and /v1. The line "ready URL" goes to
/// standard output once it serves, everything else to standard error. RUST_LOG=info shows each request.
#[derive(Debug, Parser)]
struct Options {
    /// The model, a GGUF file; scripts/fetch-model fetches a small one and prints where it is.
    #[arg(long)]
    model: PathBuf,
    /// The name that requests use for the model.
    #[arg(long, default_value = "smollm2-135m", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    model_id: String,
    /// Where the gateway listens.
    #[arg(long, default_value = "127.0.0.1:8080")]
    listen: String,
    /// Serve on an address that other machines reach although nobody is asked for a key.
    #[arg(long)]
    allow_without_keys: bool,
    /// How many miners, each with an engine and a queue of its own.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=16))]
    miners: u16,
    /// Requests that a caller may make a minute.
    #[arg(long, default_value_t = 600, value_parser = clap::value_parser!(u64).range(1..))]
    requests_per_minute: u64,
    /// Tokens that a caller may use a day, prompts and replies together.
    #[arg(long, default_value_t = 2_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    tokens_per_day: u64,
    /// Ask this once, print the answer, its usage and the miner that served it, and end.
    #[arg(long, value_name = "PROMPT")]
    once: Option<String>,
    /// With --once: most tokens of the answer.
    #[arg(long, default_value_t = 128, requires = "once")]
    max_tokens: u32,
    /// With --once: one JSON document on standard output instead of lines.
    #[arg(long, requires = "once")]
    json: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "warn".into()),
        )
        .init();
    match run(Options::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(options: Options) -> Result<(), Error> {
    // The address first: a port in use should not cost the time that a model takes to load.
    let server = Server::bind(&options.listen)
        .await?
        .allow_without_keys(options.allow_without_keys);
    let address = server.local_addr();
    let weights = progress::load(&options.model).await?;

    let chain = LocalChain::in_memory();
    chain.create_subnet(SubnetId(7), SubnetParams::default())?;
    let subnet = chain.subnet(SubnetId(7)).await?;
    let miners = miners::start(&options, &weights, &chain, &subnet).await?;

    let tokenizers = Tokenizers::new().with(&*options.model_id, miners::tokenizer(&weights));
    let tokenizers = match miners::renderer(&weights) {
        Some(renderer) => tokenizers.with_renderer(&*options.model_id, renderer),
        None => tokenizers,
    };
    let trace = TraceLayer::new();
    let count = TokenCountLayer::new(tokenizers);
    let limit = RateLimitLayer::per_caller(
        Quota::requests_per_minute(options.requests_per_minute)
            .and(Quota::tokens_per_day(options.tokens_per_day)),
    );
    let gateway = MinerPool::watch(subnet.directory(), HttpConnect::new())
        .balance(P2c::new(PeakEwma::default()))
        .with(
            ServiceBuilder::new()
                .layer(trace.clone())
                .layer(count.clone())
                .layer(limit.clone())
                .layer(DeadlineLayer::new(Duration::from_secs(600))),
        )
        .attach(trace)
        .attach(count)
        .attach(limit);

    let (stop, stopped) = oneshot::channel::<()>();
    let (ready, is_ready) = oneshot::channel::<()>();
    let once = options.once.is_some();
    let server = server.on_ready({
        let model = options.model_id.clone();
        move |address| {
            let _ = ready.send(());
            if !once {
                announce(&format!("http://{address}"), &model);
            }
        }
    });
    // With --once the answer ends the server; else a signal does.
    let server = if once {
        server.shutdown(async move {
            let _ = stopped.await;
        })
    } else {
        server
    };
    let mut serving = tokio::spawn(server.serve(synapse_http::router(gateway.clone())));

    let ended = |served: Result<Result<(), Error>, JoinError>| {
        served.unwrap_or_else(|error| {
            Err(Error::internal("server_ended", "the server ended").with_source(error))
        })
    };
    let answered = match &options.once {
        Some(prompt) => {
            let answer = async {
                // A gateway that never gets ready ends, and that is what the other arm hears.
                if is_ready.await.is_err() {
                    std::future::pending::<()>().await;
                }
                miners::until_ready(&gateway).await?;
                ask::once(&format!("http://{address}"), &options, prompt).await
            };
            tokio::select! {
                served = &mut serving => return ended(served),
                answered = answer => answered,
            }
        }
        None => Ok(()),
    };
    let _ = stop.send(());
    answered.and(ended(serving.await)).and(miners.stop().await)
}

fn announce(url: &str, model: &str) {
    println!("ready {url}");
    eprintln!(
        "\nthe subnet answers at {url}\n\n  curl {url}/v1/chat/completions -H 'content-type: application/json' \\\n    \
         -d '{{\"model\":\"{model}\",\"messages\":[{{\"role\":\"user\",\"content\":\"Name three primary colours.\"}}]}}'\n\n  \
         cargo run -p chat -- --url {url}      to talk to it here\n  \
         {url}/v1/models, {url}/health/ready, {url}/metrics\n\nCtrl-C ends it.\n"
    );
}
