//! Log-probabilities as Ollama writes them: OpenAI's list, without ids.

use std::borrow::Cow;

use serde::Serialize;
use synapse_core::Token;

/// What is written for a token that is as good as impossible; JSON has no infinity.
const IMPOSSIBLE: f32 = -9999.0;

#[derive(Serialize)]
pub(super) struct Chosen<'a> {
    #[serde(flatten)]
    token: Shown<'a>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    top_logprobs: Vec<Shown<'a>>,
}

#[derive(Serialize)]
struct Shown<'a> {
    token: Cow<'a, str>,
    logprob: f32,
    bytes: &'a [u8],
}

/// The log-probabilities of some tokens, each with at most `top` alternatives.
pub(super) fn of(tokens: &[Token], top: usize) -> Vec<Chosen<'_>> {
    tokens
        .iter()
        .map(|token| {
            let given = token.logprobs.as_ref();
            Chosen {
                token: shown(&token.bytes, given.map_or(IMPOSSIBLE, |given| given.logprob)),
                top_logprobs: given
                    .into_iter()
                    .flat_map(|given| given.top.iter().take(top))
                    .map(|other| shown(&other.bytes, other.logprob))
                    .collect(),
            }
        })
        .collect()
}

fn shown(bytes: &[u8], logprob: f32) -> Shown<'_> {
    Shown {
        token: String::from_utf8_lossy(bytes),
        logprob: if logprob.is_finite() { logprob } else { IMPOSSIBLE },
        bytes,
    }
}
