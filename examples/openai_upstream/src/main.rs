//! Any OpenAI-compatible endpoint, behind a gateway of our own with limits and traces.
//!
//! ```text
//! cargo run -p openai_upstream -- --upstream https://api.openai.com --api-key "$OPENAI_API_KEY"
//! ```

use std::{path::PathBuf, time::Duration};

use clap::Parser;
use synapse_core::{Error, ModuleExt, layers::DeadlineLayer};
use synapse_http::{ApiKeysLayer, OpenAiModule};
use synapse_validator::{Quota, RateLimitLayer, TraceLayer};
use tower::ServiceBuilder;

/// Serve any OpenAI-compatible endpoint behind a gateway of your own: traced, limited, with deadlines.
#[derive(Debug, Parser)]
struct Options {
    /// The endpoint to forward to, without /v1: `https://api.openai.com`, `http://127.0.0.1:11434`.
    #[arg(long)]
    upstream: String,
    /// The key that the endpoint wants.
    #[arg(long, env = "OPENAI_API_KEY", hide_env_values = true)]
    api_key: Option<String>,
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:8080")]
    listen: String,
    /// The directory of API keys of its own callers, which the program `api_keys` makes; nobody is asked for one where this is
    /// left out.
    #[arg(long, value_name = "DIR")]
    api_keys: Option<PathBuf>,
    /// Serve on an address that other machines reach although nobody is asked for a key.
    #[arg(long)]
    allow_without_keys: bool,
    /// Requests that a caller may make a minute.
    #[arg(long, default_value_t = 600, value_parser = clap::value_parser!(u64).range(1..))]
    requests_per_minute: u64,
    /// Seconds within which a reply must begin: for one that is not streamed, all the time it takes.
    #[arg(long, default_value_t = 300)]
    head_timeout: u64,
    /// Seconds without a byte, once a reply began, after which the endpoint counts as gone.
    #[arg(long, default_value_t = 30)]
    idle_timeout: u64,
    /// Seconds after which a request is ended, whole reply included.
    #[arg(long, default_value_t = 600)]
    deadline: u64,
}

#[tokio::main]
async fn main() -> std::process::ExitCode {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter(filter())
        .init();
    match run(Options::parse()).await {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            std::process::ExitCode::FAILURE
        }
    }
}

fn filter() -> tracing_subscriber::EnvFilter {
    tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into())
}

async fn run(options: Options) -> Result<(), Error> {
    let mut upstream = OpenAiModule::builder(&options.upstream)
        .head_timeout(Duration::from_secs(options.head_timeout))
        .idle_timeout(Duration::from_secs(options.idle_timeout));
    if let Some(key) = &options.api_key {
        upstream = upstream.api_key(key);
    }
    let (trace, limit) = (
        TraceLayer::new(),
        RateLimitLayer::per_caller(Quota::requests_per_minute(options.requests_per_minute)),
    );
    let gateway = upstream
        .build()?
        .with(
            ServiceBuilder::new()
                .layer(trace.clone())
                .layer(limit.clone())
                .layer(DeadlineLayer::new(Duration::from_secs(options.deadline))),
        )
        .attach(trace)
        .attach(limit);
    let mut api = synapse_http::router(gateway);
    if let Some(directory) = options.api_keys {
        api = api.layer(ApiKeysLayer::open(directory)?);
    }
    synapse_http::Server::bind(&options.listen)
        .await?
        .allow_without_keys(options.allow_without_keys)
        .on_ready(|address| println!("ready http://{address}"))
        .serve(api)
        .await
}
