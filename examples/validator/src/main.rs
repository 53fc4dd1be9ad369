//! A validator: requests over the OpenAI API, spread over the miners of a subnet, and the loop that judges those.
//!
//! ```text
//! cargo run -p validator -- --chain http://127.0.0.1:9933 --subnet 7 --key validator
//! cargo run -p validator -- --config validator.toml
//! cargo run -p validator -- status
//! ```

mod config;
mod epochs;
mod ledger;
mod listing;
mod serve;
mod status;
mod tokens;

use std::process::ExitCode;

use clap::{ArgMatches, Args as _, Command, FromArgMatches as _};
use node_args::status::{NodeArgs, StatusArgs};
use synapse_core::{Error, config::Live};

use self::config::ValidatorConfig;

const ABOUT: &str = "Serve the OpenAI API over the miners of a subnet, and judge them";
const LONG: &str = "\
Serve the OpenAI API over the miners of a subnet, asked with signed requests; probe them, keep what was seen, and submit \
weights once an epoch.

It takes a key that is registered: `validator --key NAME`. Or it takes a file: `validator config example` prints one with \
every option, `validator config check --config FILE` says what is wrong with it, and `validator --config FILE` serves.

It starts before its chain and its miners do, and is ready once it knows the chain: /health/ready says what it waits for. \
Limits are kept in memory: those of tokens a day and a month go on from what the ledger says, all others begin anew with the \
process, unless they are shared over Redis. The line \"ready URL\" goes to standard output once it serves, everything else to \
standard error; RUST_LOG=info shows each request. SIGHUP reads the configuration again: limits, prices and terms, the probes' \
interval and the certificate's files are taken at once, and of all else it says what the next start will change. SIGTERM or \
Ctrl-C lets what is under way end, a second one ends it at once.";

#[tokio::main]
async fn main() -> ExitCode {
    node_args::log();
    node_args::ended(run(&command().get_matches()).await)
}

fn command() -> Command {
    let status = StatusArgs::augment_args(NodeArgs::augment_args(Command::new("status")))
        .about("Show how it and its miners do, again each second on a terminal");
    let epochs = NodeArgs::augment_args(Command::new("epochs"))
        .about("List the epochs that it stored, and what became of their weights")
        .arg(clap::arg!(--json "JSON rather than a table"));
    node_args::config::command::<ValidatorConfig>(Command::new("validator").about(ABOUT).long_about(LONG))
        .subcommand(status)
        .subcommand(epochs)
}

async fn run(matches: &ArgMatches) -> Result<(), Error> {
    if let Some(answered) = node_args::config::answer::<ValidatorConfig>("validator", matches) {
        return answered;
    }
    match matches.subcommand() {
        Some(("status", matches)) => {
            let shown = StatusArgs::from_arg_matches(matches).expect("the command has these arguments");
            shown.show("validator", &data_dir(matches)?, status::page).await
        }
        Some((_, matches)) => epochs::list(&data_dir(matches)?, matches.get_flag("json")),
        None => serve::serve(Live::new(node_args::config::loader(matches))?).await,
    }
}

fn data_dir(matches: &ArgMatches) -> Result<std::path::PathBuf, Error> {
    let node = NodeArgs::from_arg_matches(matches).expect("the command has these arguments");
    node.data_dir(|config: ValidatorConfig| config.data_dir)
}
