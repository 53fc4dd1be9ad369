//! A miner that is asked for more and more, up to ten times what its engine can do.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::StreamExt as _;
use serde_json::{Value, json};
use synapse_core::{Deadline, Error, InferenceModule, Input, Message, Prompt, Request, Task};
use synapse_http::client::Upstream;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep_until},
};

use crate::{Fault, Options, hop, operated::VALIDATORS, process::Process};

/// Between two tokens of a reply.
const PACE_MS: u64 = 5;
/// Replies that the engine works on at once.
const SLOTS: usize = 16;
/// Tokens of a reply, each as likely as another.
const TOKENS: (u32, u32) = (20, 180);
/// How long a reply may take.
const DEADLINE: Duration = Duration::from_secs(4);
/// How long a load is offered before it is looked at.
const WARM_UP: Duration = Duration::from_secs(3);
/// In terms of what the engine can do.
const LOADS: [f64; 5] = [0.75, 1.0, 1.25, 1.5, 10.0];

pub(crate) async fn run(options: &Options) -> Result<Vec<Value>, Fault> {
    let can = can_do();
    if !options.json {
        println!(
            "\nAn engine of {SLOTS} slots that can do {can:.0} tokens a second, replies of {} to {} tokens within {DEADLINE:?}:\n\n\
             | load | requests a second | answered in time, tokens a second | of what the engine can do | answered, p50 | p99 | refused |\n\
             | --- | --- | --- | --- | --- | --- | --- |",
            TOKENS.0, TOKENS.1
        );
    }
    let (mut rows, mut peak, mut last) = (Vec::new(), 0.0_f64, 0.0);
    for load in LOADS {
        eprintln!("{load} times what the engine can do");
        let per_second = load * can / mean_tokens();
        let seen = offer(per_second, Duration::from_secs(options.seconds)).await?;
        let (goodput, p50, p99) = (seen.goodput(), seen.quantile(50), seen.quantile(99));
        if load <= 2.0 {
            peak = peak.max(goodput);
        }
        last = goodput;
        if options.json {
            let refused = seen
                .refused
                .iter()
                .map(|((status, code), count)| json!({ "status": status, "code": code, "requests": count }));
            rows.push(json!({
                "engine": "paced, with slots", "load": load, "requests_per_second": per_second, "goodput": goodput,
                "answered_ms": [p50 * 1e3, p99 * 1e3], "deadline_ms": DEADLINE.as_millis(), "refused": refused.collect::<Vec<_>>(),
                "broken": seen.broken,
            }));
        } else {
            println!(
                "| {load} | {per_second:.0} | {goodput:.0} | {:.1} % | {p50:.2} s | {p99:.2} s | {} |",
                100.0 * goodput / can,
                seen.told()
            );
        }
    }
    if !options.json {
        println!(
            "\nAt ten times: {:.1} % of the peak of {peak:.0} tokens a second.",
            100.0 * last / peak
        );
    }
    Ok(rows)
}

/// Tokens a second, all slots together.
#[expect(clippy::cast_precision_loss, reason = "small numbers")]
fn can_do() -> f64 {
    SLOTS as f64 * 1e3 / PACE_MS as f64
}

fn mean_tokens() -> f64 {
    f64::from(TOKENS.0 + TOKENS.1) / 2.0
}

/// What became of the requests of one load.
#[derive(Debug, Default)]
struct Seen {
    /// How long it was looked at.
    window: Duration,
    /// Tokens of replies that were whole before their deadline, within the window.
    tokens: u64,
    /// How long replies took that began; without an end where they broke off.
    took: Vec<Duration>,
    broken: usize,
    /// By status and code.
    refused: BTreeMap<(u16, String), u64>,
}

impl Seen {
    fn note(&mut self, answer: Answer, tokens: u32, asked: Instant, window: (Instant, Instant)) {
        let now = Instant::now();
        match answer {
            Answer::Whole => {
                let took = now - asked;
                self.took.push(took);
                if took <= DEADLINE && window.0 <= now && now < window.1 {
                    self.tokens += u64::from(tokens);
                }
            }
            Answer::Broken => {
                self.took.push(Duration::MAX);
                self.broken += 1;
            }
            Answer::Refused(error) => {
                let status = Upstream::of(&error).and_then(Upstream::status);
                let status = status.map_or(0, |status| status.as_u16());
                *self.refused.entry((status, error.code().to_owned())).or_default() += 1;
            }
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "a number of tokens")]
    fn goodput(&self) -> f64 {
        self.tokens as f64 / self.window.as_secs_f64()
    }

    /// In seconds.
    fn quantile(&self, percent: usize) -> f64 {
        let mut took = self.took.clone();
        took.sort();
        let at = took.len().saturating_sub(1) * percent / 100;
        took.get(at).map_or(f64::NAN, Duration::as_secs_f64)
    }

    fn told(&self) -> String {
        let refused = self
            .refused
            .iter()
            .map(|((status, code), count)| format!("{count} {code} ({status})"));
        let broken = (self.broken > 0).then(|| format!("{} broke off", self.broken));
        let told: Vec<String> = refused.chain(broken).collect();
        if told.is_empty() {
            "none".to_owned()
        } else {
            told.join(", ")
        }
    }
}

/// So many requests a second, whatever becomes of those before, to a miner of its own.
async fn offer(per_second: f64, time: Duration) -> Result<Seen, Fault> {
    let engine = Process::start(&["engine", &PACE_MS.to_string(), &SLOTS.to_string()]).await?;
    let miner = Process::start(&["operated", &engine.port.to_string(), &SLOTS.to_string()]).await?;
    let mut validators = Vec::with_capacity(VALIDATORS.len());
    for (name, _) in VALIDATORS {
        let validator = hop::to_miner(miner.port, name)?;
        validator.initialize().await?;
        validators.push(validator);
    }
    let (begun, seen) = (Instant::now(), Arc::new(Mutex::new(Seen::default())));
    let window = (begun + WARM_UP, begun + WARM_UP + time);
    let (mut dice, mut due, mut asked) = (Dice::new(11), begun, JoinSet::new());
    while due < window.1 {
        sleep_until(due).await;
        let validator = validators[dice.roll(2) as usize].clone();
        let tokens = TOKENS.0 + dice.roll(TOKENS.1 - TOKENS.0 + 1);
        let seen = seen.clone();
        asked.spawn(async move {
            let asked = Instant::now();
            let answer = ask(&validator, tokens).await;
            let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
            seen.note(answer, tokens, asked, window);
        });
        // Distances at random, as of callers who know nothing of each other.
        due += Duration::from_secs_f64(dice.part() * 2.0 / per_second);
        while asked.try_join_next().is_some() {}
    }
    while let Some(ended) = asked.join_next().await {
        ended?;
    }
    let mut seen = std::mem::take(&mut *seen.lock().unwrap_or_else(PoisonError::into_inner));
    seen.window = time;
    Ok(seen)
}

/// What became of one request.
enum Answer {
    Whole,
    Broken,
    Refused(Error),
}

async fn ask(validator: &Arc<dyn InferenceModule>, tokens: u32) -> Answer {
    let messages = vec![Message::user("Go on.")];
    let request = Request::new("m", Prompt::Messages(messages)).with_params(|params| {
        params.max_tokens = Some(tokens);
        params.stream = true;
    });
    let mut input = Input::from_request(Task::CHAT, request);
    input
        .extensions_mut()
        .insert(Deadline::at(Instant::now() + DEADLINE));
    let mut body = match validator.run_inference(input).await {
        Ok(output) => output.body,
        Err(error) => return Answer::Refused(error),
    };
    let mut words = 0;
    while let Some(chunk) = body.next().await {
        match chunk {
            Ok(chunk) if chunk.is_last() => {}
            Ok(_) => words += 1,
            Err(_) => return Answer::Broken,
        }
    }
    if words == tokens {
        Answer::Whole
    } else {
        Answer::Broken
    }
}

/// Numbers that look random and repeat.
struct Dice(u64);

impl Dice {
    fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    fn step(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// One of `0..sides`.
    fn roll(&mut self, sides: u32) -> u32 {
        u32::try_from(self.step() % u64::from(sides)).expect("less than the sides")
    }

    /// From 0 up to 1.
    #[expect(clippy::cast_precision_loss, reason = "53 bits of it")]
    fn part(&mut self) -> f64 {
        (self.step() >> 11) as f64 / (1_u64 << 53) as f64
    }
}
