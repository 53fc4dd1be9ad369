//! A miner: an engine behind a queue, registered, listed, and served to the validators of a subnet.
//!
//! ```text
//! cargo run -p miner -- --key miner-1 --llama model.gguf --advertise https://miner.example.com:8091
//! cargo run -p miner -- --key miner-1 --ollama http://127.0.0.1:11434
//! cargo run -p miner --no-default-features -- --key miner-1 --custom
//! cargo run -p miner -- models pull smollm2:135m
//! cargo run -p miner -- preflight --config miner.toml
//! cargo run -p miner -- score --config miner.toml --validator https://validator.example.com
//! ```

mod config;
mod engine;
mod models;
mod preflight;
mod score;
mod serve;
mod status;
mod validators;

use std::process::ExitCode;

use clap::{ArgMatches, Args, Command, FromArgMatches};
use node_args::{
    config::{flags, flags_of, loader},
    status::{NodeArgs, StatusArgs},
};
use synapse_core::{Error, config::Live};

use self::{
    config::MinerConfig,
    models::ModelsArgs,
    preflight::{Looker, PreflightArgs},
    score::{Asker, ScoreArgs},
};

const ABOUT: &str = "Serve an engine to the validators of a subnet, who sign what they ask";
const LONG: &str = "\
Serve an engine to the validators of a subnet, who sign what they ask.

It takes a key and an engine: `miner --key NAME --ollama http://127.0.0.1:11434`. Or it takes a file: `miner config example` \
prints one with every option, `miner config check --config FILE` says what is wrong with it, `miner preflight --config FILE` \
looks at the whole set-up as a validator does, and `miner --config FILE` serves.

It starts before its chain does, and is ready once it knows the chain: /health/ready says what it waits for. From then on \
it keeps what the subnet's directory says of it true: where it serves, and what. The line \"ready URL\" goes to standard \
output once it serves, everything else to standard error; RUST_LOG=info shows more. SIGHUP reads the configuration again: \
where it says that it serves and how it asks validators is taken at once, and of all else it says what the next start will \
change. SIGTERM or Ctrl-C lets what is under way end, a second one ends it at once.";

#[tokio::main]
async fn main() -> ExitCode {
    node_args::log();
    node_args::ended(run(&command().get_matches()).await)
}

fn command() -> Command {
    let status = StatusArgs::augment_args(NodeArgs::augment_args(Command::new("status")))
        .about("Show how it does, again each second on a terminal");
    let preflight = flags::<Looker>(PreflightArgs::augment_args(Command::new("preflight")))
        .about("Look at this set-up as a validator does, before a registration is paid for");
    let score = flags_of::<Asker>(ScoreArgs::augment_args(Command::new("score")), &["key", "chain"])
        .about("Ask a validator why it earned what it earned");
    let models = ModelsArgs::augment_args(Command::new("models"))
        .about("Manage an Ollama's models: fetch, make, list, load and remove them");
    node_args::config::command::<MinerConfig>(Command::new("miner").about(ABOUT).long_about(LONG))
        .subcommand(status)
        .subcommand(preflight)
        .subcommand(score)
        .subcommand(models)
}

async fn run(matches: &ArgMatches) -> Result<(), Error> {
    if let Some(answered) = node_args::config::answer::<MinerConfig>("miner", matches) {
        return answered;
    }
    match matches.subcommand() {
        Some(("status", matches)) => {
            let node: NodeArgs = arguments(matches);
            let data_dir = node.data_dir(|Asker(config)| config.data_dir)?;
            let shown: StatusArgs = arguments(matches);
            shown.show("miner", &data_dir, status::page).await
        }
        Some(("preflight", matches)) => {
            let looker: Looker = loader(matches).load()?.into_value();
            preflight::run(looker, arguments(matches)).await
        }
        Some(("models", matches)) => models::run(arguments(matches)).await,
        Some((_, matches)) => {
            let asker: Asker = loader(matches).load()?.into_value();
            score::run(asker, arguments(matches)).await
        }
        None => serve::serve(Live::new(loader(matches))?).await,
    }
}

fn arguments<A: Args + FromArgMatches>(matches: &ArgMatches) -> A {
    A::from_arg_matches(matches).expect("the command has these arguments")
}
