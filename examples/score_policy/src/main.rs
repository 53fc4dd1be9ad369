//! A score policy of one's own, next to the standard one, over the epochs that a validator stored.
//!
//! ```text
//! cargo run -p score_policy -- ./data/validator
//! ```

use std::{
    io::{self, Write as _},
    path::PathBuf,
    process::ExitCode,
};

use clap::Parser;
use score_policy::Quickest;
use synapse_core::Error;
use synapse_validator::{StandardPolicy, backtest::Backtest};

/// Score the epochs that a validator stored by the standard policy and by one of one's own, side by side.
#[derive(Debug, Parser)]
struct Options {
    /// Where the validator keeps its epochs: the folder with `state.json`. It may be running.
    #[arg(value_name = "DIR")]
    data_dir: PathBuf,
    /// One JSON document instead of tables.
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    match run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<(), Error> {
    let comparison = Backtest::stored(&options.data_dir)?
        .policy(StandardPolicy::default())
        .policy(Quickest)
        .run();
    if comparison.epochs.is_empty() {
        return Err(Error::invalid(
            "no_epochs",
            format!("no closed epoch is stored in {}", options.data_dir.display()),
        )
        .with_hint("name the folder that has the validator's state.json, once an epoch has ended"));
    }
    let text = if options.json {
        let json = serde_json::to_string(&comparison).map_err(|error| {
            Error::internal("no_json", "writing the comparison failed").with_source(error)
        })?;
        format!("{json}\n")
    } else {
        comparison.to_string()
    };
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        // Who reads may have had enough.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            let what = format!("standard output takes nothing: {error}");
            Err(Error::unavailable("no_output", what).with_source(error))
        }
        _ => Ok(()),
    }
}
