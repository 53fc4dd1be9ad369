//! A module of one's own, served over the OpenAI API.
//!
//! ```text
//! cargo run -p custom_module
//! curl http://127.0.0.1:9000/v1/chat/completions -H 'content-type: application/json' \
//!      -d '{"model":"shout","messages":[{"role":"user","content":"hello"}]}'
//! ```

use std::{process::ExitCode, time::Duration};

use clap::Parser;
use custom_module::Shout;
use synapse_core::Error;
use synapse_http::{Server, router};

/// Serve a module that answers with the last message, louder.
#[derive(Debug, Parser)]
struct Options {
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:9000")]
    listen: String,
    /// Serve on an address that other machines reach although nobody is asked for a key.
    #[arg(long)]
    allow_without_keys: bool,
    /// How often it says it.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    times: u32,
    /// Milliseconds that it takes before each word.
    #[arg(long, default_value_t = 0)]
    pause_ms: u64,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Options::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(options: Options) -> Result<(), Error> {
    let shout = Shout::new().slowly(options.times, Duration::from_millis(options.pause_ms));
    let server = Server::bind(&options.listen).await?;
    server
        .allow_without_keys(options.allow_without_keys)
        .on_ready(|address| println!("ready http://{address}"))
        .serve(router(shout))
        .await
}
