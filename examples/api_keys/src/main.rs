//! Makes, lists and revokes the API keys of a gateway.
//!
//! ```text
//! cargo run -p api_keys -- create --caller alice --models smollm2 --tokens-per-day 100000 --expires 30d
//! cargo run -p api_keys -- list
//! cargo run -p api_keys -- revoke key-0123456789abcdef
//! ```

mod commands;
mod options;
mod report;

use std::process::ExitCode;

use clap::Parser;

use self::options::Options;

fn main() -> ExitCode {
    node_args::log();
    let options = Options::parse();
    match commands::run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report::failure(&error, options.json);
            ExitCode::FAILURE
        }
    }
}
