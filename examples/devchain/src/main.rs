//! A local chain for a subnet's nodes: kept in a directory, served over HTTP.
//!
//! ```text
//! cargo run -p devchain -- run --data-dir ./devchain --subnet 7 --faucet 1000000
//! cargo run -p devchain -- status --chain http://127.0.0.1:9933
//! cargo run -p devchain -- verify --data-dir ./devchain
//! ```

mod amounts;
mod run;
mod status;
mod table;
mod verify;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Keep a local chain, and look at one.
#[derive(Debug, Parser)]
struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(Box<run::Options>),
    Status(status::Options),
    Verify(verify::Options),
}

#[tokio::main]
async fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "warn".into()),
        )
        .init();
    let done = match Options::parse().command {
        Command::Run(options) => run::run(*options).await,
        Command::Status(options) => status::status(&options).await,
        Command::Verify(options) => verify::verify(&options),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
