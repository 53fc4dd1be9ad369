//! The sums.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI64, Ordering::Relaxed},
    },
    time::Duration,
};

use synapse_core::{Ending, Error, ErrorKind, MetricsData, Usage};

use super::tail::Timed;

/// How many codes have a count of their own: engines choose some of them.
const CODES: usize = 64;
/// Over how many requests percentiles and speeds are taken.
const WINDOW: usize = 512;

/// What one request came to.
#[derive(Debug, Default)]
pub(super) struct Done {
    pub(super) first_content: Option<Duration>,
    pub(super) usage: Option<Usage>,
    pub(super) prefill: Option<Timed>,
    pub(super) decode: Option<Timed>,
}

#[derive(Debug, Default)]
pub(super) struct Totals {
    in_flight: AtomicI64,
    sums: Mutex<Sums>,
}

#[derive(Debug, Default)]
struct Sums {
    outcomes: BTreeMap<&'static str, u64>,
    errors: BTreeMap<String, u64>,
    input_tokens: u64,
    output_tokens: u64,
    first_contents: u64,
    first_content_seconds: f64,
    prefill: Speed,
    decode: Speed,
    recent: VecDeque<f64>,
}

/// Tokens over time: of all requests, and the speeds of the last ones.
#[derive(Debug, Default)]
struct Speed {
    tokens: u64,
    seconds: f64,
    recent: VecDeque<f64>,
}

impl Speed {
    #[expect(clippy::cast_precision_loss, reason = "no reply has 2^53 tokens")]
    fn add(&mut self, timed: Timed) {
        self.tokens = self.tokens.saturating_add(timed.tokens);
        self.seconds += timed.seconds;
        push(&mut self.recent, timed.tokens as f64 / timed.seconds);
    }

    #[expect(clippy::cast_precision_loss, reason = "at most the window")]
    fn report(&self, what: &str, metrics: &mut MetricsData) {
        metrics.counter(format!("inference.{what}_tokens"), self.tokens);
        metrics.counter_f64(format!("inference.{what}_seconds"), self.seconds);
        if !self.recent.is_empty() {
            let mean = self.recent.iter().sum::<f64>() / self.recent.len() as f64;
            metrics.gauge(format!("inference.{what}_tokens_per_second"), mean);
        }
    }
}

impl Totals {
    pub(super) fn begin(&self) {
        self.in_flight.fetch_add(1, Relaxed);
    }

    pub(super) fn end(&self, ending: &Ending, done: &Done) {
        self.in_flight.fetch_sub(1, Relaxed);
        let mut sums = self.sums();
        *sums.outcomes.entry(outcome(ending, done)).or_default() += 1;
        if let Ending::Broken(error) = ending {
            sums.count(error);
        }
        if let Some(first) = done.first_content {
            sums.first_contents += 1;
            sums.first_content_seconds += first.as_secs_f64();
            push(&mut sums.recent, first.as_secs_f64());
        }
        if let Some(usage) = done.usage {
            sums.input_tokens = sums.input_tokens.saturating_add(usage.input_tokens);
            sums.output_tokens = sums.output_tokens.saturating_add(usage.output_tokens);
        }
        if let Some(timed) = done.prefill {
            sums.prefill.add(timed);
        }
        if let Some(timed) = done.decode {
            sums.decode.add(timed);
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "nobody has 2^53 requests in flight")]
    pub(super) fn report(&self, metrics: &mut MetricsData) {
        metrics.gauge("inference.in_flight", self.in_flight.load(Relaxed) as f64);
        let sums = self.sums();
        for (outcome, count) in &sums.outcomes {
            metrics.counter_of("inference.requests", &[("outcome", outcome)], *count);
        }
        for (code, count) in &sums.errors {
            metrics.counter_of("inference.errors", &[("code", code)], *count);
        }
        metrics.counter("inference.input_tokens", sums.input_tokens);
        metrics.counter("inference.output_tokens", sums.output_tokens);
        metrics.counter("inference.first_contents", sums.first_contents);
        metrics.counter_f64("inference.first_content_seconds", sums.first_content_seconds);
        let mut recent: Vec<f64> = sums.recent.iter().copied().collect();
        recent.sort_unstable_by(f64::total_cmp);
        for (name, hundredths) in [
            ("inference.first_content_p50_seconds", 50),
            ("inference.first_content_p99_seconds", 99),
        ] {
            // The nearest rank.
            let rank = (recent.len() * hundredths).div_ceil(100);
            if let Some(value) = rank.checked_sub(1).and_then(|at| recent.get(at)) {
                metrics.gauge(name, *value);
            }
        }
        sums.prefill.report("prefill", metrics);
        sums.decode.report("decode", metrics);
    }

    fn sums(&self) -> MutexGuard<'_, Sums> {
        self.sums.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sums {
    fn count(&mut self, error: &Error) {
        let known = self.errors.contains_key(error.code()) || self.errors.len() < CODES;
        let code = if known { error.code() } else { "other" };
        *self.errors.entry(code.to_owned()).or_default() += 1;
    }
}

fn outcome(ending: &Ending, done: &Done) -> &'static str {
    match ending {
        Ending::Broken(error) if done.first_content.is_none() => match error.kind() {
            ErrorKind::Overloaded => "refused",
            kind if kind.is_callers_fault() => "refused",
            _ => "failed",
        },
        ending => ending.as_str(),
    }
}

fn push(window: &mut VecDeque<f64>, value: f64) {
    if window.len() == WINDOW {
        window.pop_front();
    }
    window.push_back(value);
}
