//! Creates, shows and uses the keys of a node.
//!
//! ```text
//! cargo run -p keys -- create validator
//! ```

mod commands;
mod options;
mod passphrases;
mod report;

use std::process::ExitCode;

use clap::Parser;

use self::options::Options;

fn main() -> ExitCode {
    // Before there is a secret in memory.
    synapse_core::keys::forbid_core_dumps();
    let options = Options::parse();
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "warn".into()),
        )
        .init();
    match commands::run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report::failure(&error, options.json);
            match error.code() {
                "bad_signature" => ExitCode::from(3),
                "wrong_passphrase" => ExitCode::from(4),
                _ => ExitCode::FAILURE,
            }
        }
    }
}
