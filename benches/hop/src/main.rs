//! What a gateway costs: our stack over HTTP beside a bare hyper passthrough, in one run.
//!
//! Each proxy is a process of its own with one worker thread, between the same upstream and the same load. Runs are
//! interleaved; what is compared is the proxy's own CPU time a request, which noise on the machine moves least.

mod load;
mod proxies;
mod upstream;

use std::{
    process::Stdio,
    time::{Duration, Instant},
};

use clap::{Parser, Subcommand, ValueEnum};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

type Fault = Box<dyn std::error::Error + Send + Sync>;

/// Compare what our gateway costs with what a bare hyper passthrough costs.
#[derive(Debug, Parser)]
struct Options {
    #[command(subcommand)]
    part: Option<Part>,
    /// Pairs of runs.
    #[arg(long, default_value_t = 7)]
    pairs: usize,
    /// Requests of a run that are answered whole.
    #[arg(long, default_value_t = 8_000)]
    requests: usize,
    /// Requests of a run that are streamed, 100 events each.
    #[arg(long, default_value_t = 400)]
    streams: usize,
    /// Connections that send requests.
    #[arg(long, default_value_t = 8)]
    connections: usize,
    /// One JSON document instead of a table.
    #[arg(long)]
    json: bool,
}

/// The processes that the comparison starts.
#[derive(Debug, Clone, Subcommand)]
enum Part {
    /// Answers at once.
    Upstream,
    /// A proxy in front of the upstream at this port.
    Proxy { kind: Kind, upstream: u16 },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// hyper on both sides, and nothing between.
    Bare,
    /// Router, pool and client module, no layers.
    Stack,
    /// The same with the trace and rate limit layers.
    Limited,
}

const KINDS: [(Kind, &str, &str); 3] = [
    (Kind::Bare, "bare", "bare hyper"),
    (Kind::Stack, "stack", "stack"),
    (Kind::Limited, "limited", "stack, trace, limit"),
];

fn main() -> Result<(), Fault> {
    let options = Options::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    match options.part.clone() {
        Some(Part::Upstream) => runtime.block_on(upstream::run()),
        Some(Part::Proxy { kind, upstream }) => runtime.block_on(proxies::run(kind, upstream)),
        None => runtime.block_on(compare(options)),
    }
}

/// A process of this program, and the port it listens on.
struct Process {
    child: Child,
    port: u16,
}

impl Process {
    async fn start(arguments: &[&str]) -> Result<Self, Fault> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(arguments)
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let out = child.stdout.take().ok_or("no standard output")?;
        let mut lines = BufReader::new(out).lines();
        while let Some(line) = lines.next_line().await? {
            if let Some(port) = line.strip_prefix("ready http://127.0.0.1:") {
                let port = port.parse()?;
                return Ok(Self { child, port });
            }
        }
        Err(format!("{arguments:?} ended before it was ready").into())
    }

    /// CPU time that the process took so far, in its own code and in the kernel.
    fn cpu(&self) -> Result<Duration, Fault> {
        let pid = self.child.id().ok_or("the process ended")?;
        // A process's own schedstat counts its main thread only: add up every thread's.
        let mut nanoseconds = 0_u64;
        for task in std::fs::read_dir(format!("/proc/{pid}/task"))? {
            let stat = std::fs::read_to_string(task?.path().join("schedstat"))?;
            nanoseconds += stat.split(' ').next().unwrap_or("0").parse::<u64>()?;
        }
        Ok(Duration::from_nanos(nanoseconds))
    }
}

/// What one run of one proxy took.
struct Run {
    cpu_per_request: Duration,
    per_second: f64,
}

async fn measure(
    process: &Process,
    requests: usize,
    connections: usize,
    streamed: bool,
) -> Result<Run, Fault> {
    let (cpu, start) = (process.cpu()?, Instant::now());
    load::send(process.port, requests, connections, streamed).await?;
    let (cpu, took) = (process.cpu()?.saturating_sub(cpu), start.elapsed());
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        reason = "a number of requests"
    )]
    Ok(Run {
        cpu_per_request: cpu / requests as u32,
        per_second: requests as f64 / took.as_secs_f64(),
    })
}

async fn compare(options: Options) -> Result<(), Fault> {
    let upstream = Process::start(&["upstream"]).await?;
    let port = upstream.port.to_string();
    let mut proxies = Vec::new();
    for (_, name, _) in KINDS {
        proxies.push(Process::start(&["proxy", name, &port]).await?);
    }
    let shapes = [
        ("whole", options.requests, false),
        ("streamed", options.streams, true),
    ];
    let mut rows = Vec::new();
    for (shape, requests, streamed) in shapes {
        for process in &proxies {
            measure(process, requests / 10, options.connections, streamed).await?;
        }
        let mut runs: Vec<Vec<Run>> = KINDS.iter().map(|_| Vec::new()).collect();
        for pair in 0..options.pairs {
            eprintln!("{shape}: round {} of {}", pair + 1, options.pairs);
            // Each round runs every proxy once, and starts with another one.
            for offset in 0..KINDS.len() {
                let at = (pair + offset) % KINDS.len();
                runs[at].push(measure(&proxies[at], requests, options.connections, streamed).await?);
            }
        }
        for (at, (.., title)) in KINDS.iter().enumerate() {
            let cpu = spread(runs[at].iter().map(|run| run.cpu_per_request.as_secs_f64() * 1e6));
            let speed = spread(runs[at].iter().map(|run| run.per_second));
            let ratio =
                spread(runs[at].iter().zip(&runs[0]).map(|(run, bare)| {
                    run.cpu_per_request.as_secs_f64() / bare.cpu_per_request.as_secs_f64()
                }));
            rows.push((shape, *title, cpu, speed, ratio));
        }
    }
    if options.json {
        let rows: Vec<_> = rows
            .iter()
            .map(|(shape, proxy, cpu, speed, ratio)| {
                serde_json::json!({"shape": shape, "proxy": proxy, "cpu_us_per_request": cpu, "requests_per_second": speed, "cpu_ratio_to_bare": ratio})
            })
            .collect();
        println!("{}", serde_json::Value::Array(rows));
        return Ok(());
    }
    println!("| shape | proxy | CPU µs a request, median (min–max) | requests a second | CPU ÷ bare hyper |");
    println!("| --- | --- | --- | --- | --- |");
    for (shape, proxy, [low, mid, high], [_, speed, _], [ratio_low, ratio, ratio_high]) in rows {
        println!(
            "| {shape} | {proxy} | {mid:.0} ({low:.0}–{high:.0}) | {speed:.0} | {ratio:.2} ({ratio_low:.2}–{ratio_high:.2}) |"
        );
    }
    Ok(())
}

/// Minimum, median and maximum.
fn spread(values: impl Iterator<Item = f64>) -> [f64; 3] {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    [values[0], values[values.len() / 2], values[values.len() - 1]]
}
