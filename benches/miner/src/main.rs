//! What a miner adds to its engine. The engine is asked directly and through a miner (TLS, signed requests, queue), in
//! turn, at 1, 4 and 16 streams at once.
//!
//! Beside an engine of our own that paces its tokens, tokens a second and the time to the first of them are compared.
//! Beside a real llama-server (`--engine`, `--model`), the miner's CPU time with that of the engine; beside one that computes
//! on a GPU (`--gpu`), tokens a second and the time to the first as well. And a miner with all that an operator has in it is
//! asked for ten times what its engine can do.

mod compare;
mod engine;
mod hop;
mod load;
mod operated;
mod overload;
mod process;

use std::path::PathBuf;

use clap::{Parser, Subcommand};

type Fault = Box<dyn std::error::Error + Send + Sync>;

/// Compare an engine behind a miner with the same engine asked directly.
#[derive(Debug, Parser)]
struct Options {
    #[command(subcommand)]
    part: Option<Part>,
    /// Rounds, in each of which both ways run once.
    #[arg(long, default_value_t = 7)]
    pairs: usize,
    /// Tokens of a reply of the paced engine.
    #[arg(long, default_value_t = 100)]
    tokens: usize,
    /// A llama-server, to measure CPU beside.
    #[arg(long, requires = "model")]
    engine: Option<PathBuf>,
    /// The model that it serves, a GGUF file.
    #[arg(long)]
    model: Option<PathBuf>,
    /// The llama-server computes on a GPU: its tokens a second and time to the first are compared, and nothing else is done.
    #[arg(long, requires = "engine")]
    gpu: bool,
    /// How long each load is offered, in seconds, where a miner is asked for more and more.
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// One JSON document instead of tables.
    #[arg(long)]
    json: bool,
}

/// The processes that the comparison starts.
#[derive(Debug, Clone, Subcommand)]
enum Part {
    /// Streams a token every so many milliseconds.
    Engine {
        /// Between two tokens.
        every_ms: u64,
        /// How many replies it works on at once; any number unless given.
        #[arg(default_value_t = usize::MAX)]
        slots: usize,
    },
    /// A miner in front of the engine at this port.
    Miner {
        /// The engine's.
        engine: u16,
    },
    /// A miner's node with every layer, in front of the engine at this port.
    Operated {
        /// The engine's.
        engine: u16,
        /// How many replies it works on at once.
        slots: usize,
    },
}

fn main() -> Result<(), Fault> {
    let options = Options::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    runtime.block_on(async {
        match options.part {
            Some(Part::Engine { every_ms, slots }) => engine::run(every_ms, slots).await,
            Some(Part::Miner { engine }) => hop::miner(engine).await,
            Some(Part::Operated { engine, slots }) => operated::miner(engine, slots).await,
            None => run(options).await,
        }
    })
}

async fn run(options: Options) -> Result<(), Fault> {
    let mut rows = compare::run(&options).await?;
    if !options.gpu {
        rows.extend(overload::run(&options).await?);
    }
    if options.json {
        println!("{}", serde_json::Value::Array(rows));
    }
    Ok(())
}
