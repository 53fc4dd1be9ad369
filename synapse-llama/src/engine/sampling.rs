use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use crate::error::LlamaError;
use crate::weights::LlamaWeights;

/// How the next token is chosen. The default is OpenAI's: temperature 1, everything else off, a random seed.
///
/// The order is: bias, penalties, temperature, `top_k`, `min_p`, `top_p`, then the draw.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Sampling {
    /// Softmax temperature, ≥ 0; 0 takes the likeliest token.
    pub temperature: f32,
    /// Sample from the smallest set of tokens with this total probability, (0, 1]; 1 is off.
    pub top_p: f32,
    /// Sample from this many likeliest tokens; 0 is off.
    pub top_k: u32,
    /// Drop tokens less likely than this share of the likeliest, [0, 1]; 0 is off.
    pub min_p: f32,
    /// Taken off the logit of every token that the reply has, [-2, 2].
    pub presence_penalty: f32,
    /// Taken off the logit of a token once for each time that the reply has it, [-2, 2].
    pub frequency_penalty: f32,
    /// Where the randomness starts. The same seed and prompt, alone on the engine, give the same text; `None` is random.
    pub seed: Option<u64>,
    /// Added to the logits of these tokens, [-100, 100].
    pub logit_bias: Vec<(u32, f32)>,
}

impl Default for Sampling {
    fn default() -> Self {
        Self {
            temperature: 1.0,
            top_p: 1.0,
            top_k: 0,
            min_p: 0.0,
            presence_penalty: 0.0,
            frequency_penalty: 0.0,
            seed: None,
            logit_bias: Vec::new(),
        }
    }
}

impl Sampling {
    /// Always the likeliest token.
    pub fn greedy() -> Self {
        Self {
            temperature: 0.0,
            ..Self::default()
        }
    }

    /// Softmax temperature, ≥ 0.
    #[must_use]
    pub fn with_temperature(self, temperature: f32) -> Self {
        Self { temperature, ..self }
    }

    /// Sampling from the smallest set of tokens with this total probability.
    #[must_use]
    pub fn with_top_p(self, top_p: f32) -> Self {
        Self { top_p, ..self }
    }

    /// Sampling from this many likeliest tokens.
    #[must_use]
    pub fn with_top_k(self, top_k: u32) -> Self {
        Self { top_k, ..self }
    }

    /// Dropping tokens less likely than this share of the likeliest.
    #[must_use]
    pub fn with_min_p(self, min_p: f32) -> Self {
        Self { min_p, ..self }
    }

    /// A penalty on every token that the reply has.
    #[must_use]
    pub fn with_presence_penalty(self, presence_penalty: f32) -> Self {
        Self {
            presence_penalty,
            ..self
        }
    }

    /// A penalty on a token for each time that the reply has it.
    #[must_use]
    pub fn with_frequency_penalty(self, frequency_penalty: f32) -> Self {
        Self {
            frequency_penalty,
            ..self
        }
    }

    /// Randomness that starts here, to be repeated.
    #[must_use]
    pub fn with_seed(self, seed: u64) -> Self {
        Self {
            seed: Some(seed),
            ..self
        }
    }

    /// What is added to the logits of these tokens.
    #[must_use]
    pub fn with_logit_bias(self, logit_bias: Vec<(u32, f32)>) -> Self {
        Self { logit_bias, ..self }
    }

    pub(super) fn check(&self, weights: &LlamaWeights) -> Result<(), LlamaError> {
        let vocabulary = weights.vocabulary_size();
        let in_range = |name, value: f32, least: f32, most: f32| match (least..=most).contains(&value) {
            true => Ok(()),
            false => Err(LlamaError::invalid(
                name,
                format!("is {value}; it must be {least} to {most}"),
            )),
        };
        in_range("temperature", self.temperature, 0.0, 100.0)?;
        in_range("top_p", self.top_p, 0.0, 1.0)?;
        if self.top_p == 0.0 {
            return Err(LlamaError::invalid(
                "top_p",
                "is 0; it must be above 0 and at most 1",
            ));
        }
        in_range("min_p", self.min_p, 0.0, 1.0)?;
        in_range("presence_penalty", self.presence_penalty, -2.0, 2.0)?;
        in_range("frequency_penalty", self.frequency_penalty, -2.0, 2.0)?;
        for &(token, bias) in &self.logit_bias {
            in_range("logit_bias", bias, -100.0, 100.0)?;
            if token >= vocabulary {
                return Err(LlamaError::invalid(
                    "logit_bias",
                    format!("names token {token}, which the vocabulary lacks"),
                ));
            }
            // Its text is empty: a reply of such tokens would take an engine's time and show nothing for it.
            if bias > 0.0 && weights.is_control(token) {
                return Err(LlamaError::invalid(
                    "logit_bias",
                    format!("favours token {token}, which is a control token"),
                ));
            }
        }
        Ok(())
    }
}

/// Chooses one reply's tokens.
#[derive(Debug)]
pub(super) struct Sampler {
    sampling: Sampling,
    random: SplitMix64,
    counts: HashMap<u32, u16>,
    /// The adjusted logits of the current step, kept to reuse its memory.
    adjusted: Vec<f32>,
    candidates: Vec<Candidate>,
}

#[derive(Clone, Copy, Debug)]
struct Candidate {
    token: u32,
    weight: f32,
}

/// How many candidates are sorted at first in the hope that they hold `top_p`.
const FIRST_SORTED: usize = 1024;

impl Sampler {
    pub(super) fn new(sampling: Sampling) -> Self {
        let seed = sampling
            .seed
            .unwrap_or_else(|| RandomState::new().hash_one("seed"));
        Self {
            sampling,
            random: SplitMix64(seed),
            counts: HashMap::new(),
            adjusted: Vec::new(),
            candidates: Vec::new(),
        }
    }

    /// The next token, or `None` where no logit is a number.
    pub(super) fn choose(&mut self, logits: &[f32]) -> Option<u32> {
        let token = if self.sampling.temperature == 0.0 && !self.adjusts() {
            likeliest(logits)
        } else {
            self.adjust(logits);
            if self.sampling.temperature == 0.0 {
                likeliest(&self.adjusted)
            } else {
                self.draw()
            }
        }?;
        if self.penalises() {
            let count = self.counts.entry(token).or_insert(0);
            *count = count.saturating_add(1);
        }
        Some(token)
    }

    fn penalises(&self) -> bool {
        self.sampling.presence_penalty != 0.0 || self.sampling.frequency_penalty != 0.0
    }

    fn adjusts(&self) -> bool {
        self.penalises() || !self.sampling.logit_bias.is_empty()
    }

    fn adjust(&mut self, logits: &[f32]) {
        self.adjusted.clear();
        self.adjusted.extend_from_slice(logits);
        for &(token, bias) in &self.sampling.logit_bias {
            if let Some(logit) = self.adjusted.get_mut(token as usize) {
                *logit += bias;
            }
        }
        for (&token, &count) in &self.counts {
            if let Some(logit) = self.adjusted.get_mut(token as usize) {
                *logit -= self.sampling.presence_penalty + f32::from(count) * self.sampling.frequency_penalty;
            }
        }
    }

    fn draw(&mut self) -> Option<u32> {
        let peak = likeliest(&self.adjusted).and_then(|token| self.adjusted.get(token as usize).copied())?;
        let temperature = self.sampling.temperature;
        // Against the likeliest token's weight of 1, so `min_p` is a plain comparison; NaN fails it too.
        let least = self.sampling.min_p.max(f32::MIN_POSITIVE);
        self.candidates.clear();
        self.candidates
            .extend((0..).zip(&self.adjusted).filter_map(|(token, &logit)| {
                let weight = ((logit - peak) / temperature).exp();
                (weight >= least).then_some(Candidate { token, weight })
            }));
        let top_k = self.sampling.top_k as usize;
        if top_k > 0 && top_k < self.candidates.len() {
            self.candidates.select_nth_unstable_by(top_k - 1, likelier_first);
            self.candidates.truncate(top_k);
            self.candidates.sort_unstable_by(likelier_first);
        }
        if self.sampling.top_p < 1.0 {
            keep_nucleus(&mut self.candidates, self.sampling.top_p);
        }
        pick(&self.candidates, self.random.next_fraction())
    }
}

/// Keeps the likeliest candidates that together reach `top_p` of the whole.
fn keep_nucleus(candidates: &mut Vec<Candidate>, top_p: f32) {
    let target = total(candidates) * f64::from(top_p);
    if candidates.len() > FIRST_SORTED {
        candidates.select_nth_unstable_by(FIRST_SORTED - 1, likelier_first);
        if total(candidates.get(..FIRST_SORTED).unwrap_or_default()) >= target {
            candidates.truncate(FIRST_SORTED);
        }
    }
    candidates.sort_unstable_by(likelier_first);
    let mut sum = 0.0;
    let reached = candidates.iter().position(|candidate| {
        sum += f64::from(candidate.weight);
        sum >= target
    });
    if let Some(last) = reached {
        candidates.truncate(last + 1);
    }
}

fn pick(candidates: &[Candidate], fraction: f64) -> Option<u32> {
    let mut left = total(candidates) * fraction;
    for candidate in candidates {
        left -= f64::from(candidate.weight);
        if left < 0.0 {
            return Some(candidate.token);
        }
    }
    // Rounding may leave a crumb at the very end.
    candidates.last().map(|candidate| candidate.token)
}

fn total(candidates: &[Candidate]) -> f64 {
    candidates
        .iter()
        .map(|candidate| f64::from(candidate.weight))
        .sum()
}

fn likelier_first(a: &Candidate, b: &Candidate) -> std::cmp::Ordering {
    b.weight.total_cmp(&a.weight).then(a.token.cmp(&b.token))
}

/// The token with the highest logit, the first of equals; NaN counts as impossible.
fn likeliest(logits: &[f32]) -> Option<u32> {
    let mut best = None;
    let mut peak = f32::NEG_INFINITY;
    for (token, &logit) in (0..).zip(logits) {
        if logit > peak {
            (best, peak) = (Some(token), logit);
        }
    }
    best.filter(|_| peak.is_finite())
}

/// Sebastiano Vigna's SplitMix64: small, and the same on every machine and in every version.
#[derive(Debug)]
struct SplitMix64(u64);

impl SplitMix64 {
    /// A number in [0, 1) with 53 random bits.
    #[expect(
        clippy::cast_precision_loss,
        reason = "53 bits are what a double holds exactly"
    )]
    fn next_fraction(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests;
