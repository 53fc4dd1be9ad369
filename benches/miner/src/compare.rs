//! Both ways in turn, and what that shows.

use std::{path::Path, sync::Arc, time::Duration};

use serde_json::{Value, json};
use synapse_core::InferenceModule;

use crate::{
    Fault, Options, hop,
    load::{self, Seen},
    process::Process,
};

const STREAMS: [usize; 3] = [1, 4, 16];
/// Between two tokens of a stream.
const PACE_MS: u64 = 10;
/// Tokens of a reply of the real engine.
const REAL_TOKENS: usize = 32;

pub(crate) async fn run(options: &Options) -> Result<Vec<Value>, Fault> {
    let mut rows = Vec::new();
    if !options.gpu {
        rows.extend(paced(options).await?);
    }
    if let (Some(program), Some(model)) = (&options.engine, &options.model) {
        rows.extend(real(options, program, model).await?);
    }
    Ok(rows)
}

/// Speed and delay, beside an engine whose pace is known.
async fn paced(options: &Options) -> Result<Vec<Value>, Fault> {
    let engine = Process::start(&["engine", &PACE_MS.to_string()]).await?;
    let miner = Process::start(&["miner", &engine.port.to_string()]).await?;
    speed(options, "paced", &engine, &miner).await
}

/// Tokens a second and the time to the first of them, both ways.
async fn speed(
    options: &Options,
    name: &str,
    engine: &Process,
    miner: &Process,
) -> Result<Vec<Value>, Fault> {
    let (direct, through) = (
        hop::to_engine(engine.port)?,
        hop::to_miner(miner.port, "//Alice")?,
    );
    for module in [&direct, &through] {
        module.initialize().await?;
    }
    if !options.json {
        println!(
            "| streams | tokens/s directly | tokens/s through the miner | ratio, median (min–max) | first token directly, ms | through the miner, ms | more, ms, median (min–max) |\n| --- | --- | --- | --- | --- | --- | --- |"
        );
    }
    let mut rows = Vec::new();
    for streams in STREAMS {
        let mut pairs = Vec::new();
        for round in 0..=options.pairs {
            eprintln!("{name}, {streams} streams: round {round} of {}", options.pairs);
            let pair = in_turn(round, &direct, &through, streams, options.tokens).await?;
            // The first one opens connections.
            if round > 0 {
                pairs.push(pair);
            }
        }
        let of = |read: &dyn Fn(&(Seen, Seen)) -> f64| spread(pairs.iter().map(read));
        let [_, speed_direct, _] = of(&|(direct, _)| direct.per_second);
        let [_, speed, _] = of(&|(_, through)| through.per_second);
        let ratio = of(&|(direct, through)| through.per_second / direct.per_second);
        let [_, first_direct, _] = of(&|(direct, _)| median_ms(&direct.first));
        let [_, first, _] = of(&|(_, through)| median_ms(&through.first));
        let more = of(&|(direct, through)| median_ms(&through.first) - median_ms(&direct.first));
        if options.json {
            rows.push(json!({
                "engine": name, "streams": streams, "tokens_per_second": [speed_direct, speed], "ratio": ratio,
                "first_token_ms": [first_direct, first], "first_token_more_ms": more,
            }));
        } else {
            println!(
                "| {streams} | {speed_direct:.1} | {speed:.1} | {:.3} ({:.3}–{:.3}) | {first_direct:.2} | {first:.2} | {:.2} ({:.2}–{:.2}) |",
                ratio[1], ratio[0], ratio[2], more[1], more[0], more[2]
            );
        }
    }
    Ok(rows)
}

/// The miner's CPU time beside that of an engine that computes.
async fn real(options: &Options, program: &Path, model: &Path) -> Result<Vec<Value>, Fault> {
    let engine = Process::llama_server(program, model, options.gpu).await?;
    let miner = Process::start(&["miner", &engine.port.to_string()]).await?;
    let mut rows = Vec::new();
    let tokens_each = match options.gpu {
        true => {
            rows.extend(speed(options, "llama-server", &engine, &miner).await?);
            options.tokens
        }
        false => REAL_TOKENS,
    };
    let through = hop::to_miner(miner.port, "//Alice")?;
    through.initialize().await?;
    load::ask(&through, 1, tokens_each).await?;
    if !options.json {
        println!(
            "\n| streams | engine's CPU ms a token | miner's CPU ms a token | miner ÷ engine, median (min–max) |\n| --- | --- | --- | --- |"
        );
    }
    for streams in STREAMS {
        let mut runs = Vec::new();
        for round in 1..=options.pairs {
            eprintln!(
                "llama-server, {streams} streams: round {round} of {}",
                options.pairs
            );
            let (of_engine, of_miner) = (engine.cpu()?, miner.cpu()?);
            let tokens = load::ask(&through, streams, tokens_each).await?.events;
            let a_token = |cpu: Duration| cpu.as_secs_f64() * 1e3 / tokens;
            runs.push((
                a_token(engine.cpu()?.saturating_sub(of_engine)),
                a_token(miner.cpu()?.saturating_sub(of_miner)),
            ));
        }
        let [_, of_engine, _] = spread(runs.iter().map(|run| run.0));
        let [_, of_miner, _] = spread(runs.iter().map(|run| run.1));
        let ratio = spread(runs.iter().map(|(engine, miner)| miner / engine));
        if options.json {
            rows.push(json!({
                "engine": "llama-server", "streams": streams, "cpu_ms_per_token": [of_engine, of_miner], "ratio": ratio,
            }));
        } else {
            println!(
                "| {streams} | {of_engine:.3} | {of_miner:.4} | {:.2} % ({:.2}–{:.2}) |",
                ratio[1] * 100.0,
                ratio[0] * 100.0,
                ratio[2] * 100.0
            );
        }
    }
    Ok(rows)
}

/// Once each way; the other one first in every second round.
async fn in_turn(
    round: usize,
    direct: &Arc<dyn InferenceModule>,
    through: &Arc<dyn InferenceModule>,
    streams: usize,
    tokens: usize,
) -> Result<(Seen, Seen), Fault> {
    if round.is_multiple_of(2) {
        let first = load::ask(direct, streams, tokens).await?;
        Ok((first, load::ask(through, streams, tokens).await?))
    } else {
        let first = load::ask(through, streams, tokens).await?;
        Ok((load::ask(direct, streams, tokens).await?, first))
    }
}

fn median_ms(times: &[Duration]) -> f64 {
    spread(times.iter().map(|time| time.as_secs_f64() * 1e3))[1]
}

/// Minimum, median and maximum.
fn spread(values: impl Iterator<Item = f64>) -> [f64; 3] {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    [values[0], values[values.len() / 2], values[values.len() - 1]]
}
