//! Runs the epochs and prints them: `cargo run -p epochs`.

use std::{path::PathBuf, process::ExitCode, time::Duration};

use clap::Parser;
use epochs::{Epochs, Table, run};
use synapse_core::Error;

/// Run epochs of a subnet with six miners of which one is honest, and print what each loses and regains, and why.
#[derive(Debug, Parser)]
struct Options {
    /// How many epochs.
    #[arg(long, default_value_t = 20)]
    epochs: u64,
    /// Milliseconds of a block; an epoch has thirty.
    #[arg(long, default_value_t = 200)]
    block_ms: u64,
    /// Where the validator keeps its state, for `score_policy` to run another policy over it; in memory where this is left out.
    #[arg(long)]
    state: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "error".into()),
        )
        .init();
    match print(Options::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn print(options: Options) -> Result<(), Error> {
    let epochs = Epochs {
        count: options.epochs,
        block: Duration::from_millis(options.block_ms.max(1)),
        state: options.state,
        validators: 1,
        clock: None,
    };
    let count = epochs.count;
    let rows = run(epochs, |row| eprintln!("epoch {} of {count}", row.epoch)).await?;
    print!("{}", Table(&rows));
    Ok(())
}
