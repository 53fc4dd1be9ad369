//! Log-probabilities as OpenAI writes them.

use std::{borrow::Cow, fmt::Write as _};

use serde::{Serialize, Serializer, ser::SerializeMap};
use synapse_core::{Alternative, Token};

use super::Shape;

/// What OpenAI writes for a token that is as good as impossible; JSON has no infinity.
const IMPOSSIBLE: f32 = -9999.0;

/// The log-probabilities of some tokens, in the shape of their endpoint.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Logprobs<'a> {
    Chat {
        content: Vec<Chosen<'a>>,
        refusal: (),
    },
    Completion {
        tokens: Vec<String>,
        token_logprobs: Vec<Option<f32>>,
        top_logprobs: Option<Vec<Top<'a>>>,
        text_offset: Vec<usize>,
        #[serde(skip_serializing_if = "Option::is_none")]
        token_ids: Option<Vec<Option<u32>>>,
    },
}

#[derive(Debug, Serialize)]
pub(super) struct Chosen<'a> {
    #[serde(flatten)]
    token: Shown<'a>,
    top_logprobs: Vec<Shown<'a>>,
}

#[derive(Debug, Serialize)]
struct Shown<'a> {
    token: Cow<'a, str>,
    logprob: f32,
    bytes: &'a [u8],
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<u32>,
}

/// The likeliest tokens at one place, as a map.
#[derive(Debug)]
pub(super) struct Top<'a>(&'a [Alternative]);

impl<'a> Logprobs<'a> {
    /// Of `tokens`, each with at most `top` alternatives; `offset` is how many characters came before, and moves on.
    pub(super) fn new(shape: Shape, tokens: &'a [Token], top: usize, offset: &mut usize) -> Self {
        if shape == Shape::Chat {
            return Self::Chat {
                content: tokens.iter().map(|token| Chosen::new(token, top)).collect(),
                refusal: (),
            };
        }
        let logprobs = |token: &'a Token| token.logprobs.as_ref();
        let offsets = tokens.iter().map(|token| {
            let at = *offset;
            *offset += characters(&token.bytes);
            at
        });
        Self::Completion {
            text_offset: offsets.collect(),
            tokens: tokens.iter().map(|token| escaped(&token.bytes)).collect(),
            token_logprobs: tokens
                .iter()
                .map(|token| logprobs(token).map(|given| finite(given.logprob)))
                .collect(),
            top_logprobs: (top > 0).then(|| {
                let tops = tokens.iter().map(|token| {
                    let all = logprobs(token).map_or(&[][..], |given| given.top.as_slice());
                    Top(&all[..all.len().min(top)])
                });
                tops.collect()
            }),
            token_ids: tokens
                .iter()
                .any(|token| token.id.is_some())
                .then(|| tokens.iter().map(|token| token.id).collect()),
        }
    }
}

impl<'a> Chosen<'a> {
    fn new(token: &'a Token, top: usize) -> Self {
        let given = token.logprobs.as_ref();
        let shown = |bytes: &'a [u8], logprob, id| Shown {
            token: String::from_utf8_lossy(bytes),
            logprob: finite(logprob),
            bytes,
            id,
        };
        Self {
            token: shown(
                &token.bytes,
                given.map_or(IMPOSSIBLE, |given| given.logprob),
                token.id,
            ),
            top_logprobs: given
                .into_iter()
                .flat_map(|given| given.top.iter().take(top))
                .map(|other| shown(&other.bytes, other.logprob, other.id))
                .collect(),
        }
    }
}

impl Serialize for Top<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (at, other) in self.0.iter().enumerate() {
            // Two ids may have the same bytes; the likelier one, which comes first, is the one that shows.
            if self.0[..at].iter().all(|before| before.bytes != other.bytes) {
                map.serialize_entry(&escaped(&other.bytes), &finite(other.logprob))?;
            }
        }
        map.end()
    }
}

fn finite(logprob: f32) -> f32 {
    if logprob.is_finite() { logprob } else { IMPOSSIBLE }
}

/// A token as completions show it: its text, or `bytes:\xe2\x82` where it is no text.
fn escaped(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.iter().fold("bytes:".to_owned(), |mut out, byte| {
            // Writing to a string cannot fail.
            let _ = write!(out, "\\x{byte:02x}");
            out
        }),
    }
}

/// How many characters begin in `bytes`, so that the parts of a split one count once.
fn characters(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| **byte & 0xc0 != 0x80).count()
}
