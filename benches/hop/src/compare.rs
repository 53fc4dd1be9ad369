//! Running one subject after another, and what that shows.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::{Fault, Options, load, process::Process};

/// What is compared: the processes that a request passes, the first of which is asked.
pub(crate) struct Subject {
    pub(crate) title: &'static str,
    pub(crate) processes: Vec<Process>,
}

/// What one run took, over all processes of its subject.
struct Run {
    cpu_per_request: Duration,
    per_second: f64,
}

/// Runs each subject in turn, and prints a table (or returns its rows) with ratios to the first.
pub(crate) async fn compare(subjects: &[Subject], options: &Options) -> Result<Vec<Value>, Fault> {
    let shapes = [
        ("whole", options.requests, false),
        ("streamed", options.streams, true),
    ];
    let baseline = subjects[0].title;
    let mut rows = Vec::new();
    if !options.json {
        println!(
            "| shape | what | CPU µs a request, median (min–max) | requests a second | CPU ÷ {baseline} |"
        );
        println!("| --- | --- | --- | --- | --- |");
    }
    for (shape, requests, streamed) in shapes {
        for subject in subjects {
            subject.run(requests / 10, options.connections, streamed).await?;
        }
        let mut runs: Vec<Vec<Run>> = subjects.iter().map(|_| Vec::new()).collect();
        for round in 0..options.pairs {
            eprintln!("{shape}: round {} of {}", round + 1, options.pairs);
            // Each round runs every subject once, and starts with another one.
            for offset in 0..subjects.len() {
                let at = (round + offset) % subjects.len();
                runs[at].push(subjects[at].run(requests, options.connections, streamed).await?);
            }
        }
        for (at, Subject { title, .. }) in subjects.iter().enumerate() {
            let [low, mid, high] = spread(runs[at].iter().map(|run| run.cpu_per_request.as_secs_f64() * 1e6));
            let [_, speed, _] = spread(runs[at].iter().map(|run| run.per_second));
            let ratios = runs[at].iter().zip(&runs[0]);
            let [ratio_low, ratio, ratio_high] =
                spread(ratios.map(|(run, first)| {
                    run.cpu_per_request.as_secs_f64() / first.cpu_per_request.as_secs_f64()
                }));
            if options.json {
                rows.push(json!({
                    "shape": shape, "what": title, "cpu_us_per_request": [low, mid, high],
                    "requests_per_second": speed, "cpu_ratio": [ratio_low, ratio, ratio_high], "ratio_to": baseline,
                }));
            } else {
                println!(
                    "| {shape} | {title} | {mid:.0} ({low:.0}–{high:.0}) | {speed:.0} | {ratio:.2} ({ratio_low:.2}–{ratio_high:.2}) |"
                );
            }
        }
    }
    Ok(rows)
}

impl Subject {
    fn cpu(&self) -> Result<Duration, Fault> {
        self.processes.iter().map(Process::cpu).sum()
    }

    async fn run(&self, requests: usize, connections: usize, streamed: bool) -> Result<Run, Fault> {
        let (cpu, start) = (self.cpu()?, Instant::now());
        load::send(self.processes[0].port, requests, connections, streamed).await?;
        let (cpu, took) = (self.cpu()?.saturating_sub(cpu), start.elapsed());
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
}

/// Minimum, median and maximum.
fn spread(values: impl Iterator<Item = f64>) -> [f64; 3] {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    [values[0], values[values.len() / 2], values[values.len() - 1]]
}
