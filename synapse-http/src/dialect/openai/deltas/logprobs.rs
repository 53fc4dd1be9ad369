//! Log-probabilities in both of OpenAI's shapes.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::Deserialize;
use synapse_core::{self as core, Alternative, Token};

use super::token_bytes;

/// Both shapes at once: chat's list of tokens, and the parallel lists of completions.
#[derive(Deserialize)]
pub(super) struct Logprobs {
    #[serde(default)]
    content: Option<Vec<Listed>>,
    #[serde(default)]
    tokens: Option<Vec<String>>,
    #[serde(default)]
    token_logprobs: Option<Vec<Option<f32>>>,
    #[serde(default)]
    top_logprobs: Option<Vec<Option<BTreeMap<String, f32>>>>,
    #[serde(default)]
    token_ids: Option<Vec<Option<u32>>>,
}

#[derive(Deserialize)]
struct Listed {
    token: String,
    #[serde(default)]
    logprob: Option<f32>,
    #[serde(default)]
    bytes: Option<Vec<u8>>,
    #[serde(default)]
    id: Option<u32>,
    #[serde(default)]
    top_logprobs: Option<Vec<Listed>>,
}

impl Logprobs {
    pub(super) fn tokens(self) -> Vec<Token> {
        match self.content {
            Some(content) => content.into_iter().map(Listed::token).collect(),
            None => self.parallel(),
        }
    }

    fn parallel(self) -> Vec<Token> {
        let logprobs = self.token_logprobs.unwrap_or_default();
        let ids = self.token_ids.unwrap_or_default();
        let mut tops = self.top_logprobs.unwrap_or_default().into_iter();
        let tokens = self.tokens.unwrap_or_default().into_iter().enumerate();
        tokens
            .map(|(at, shown)| {
                let top = tops.next().flatten().unwrap_or_default();
                let token = Token::new(ids.get(at).copied().flatten(), token_bytes(shown));
                match logprobs.get(at).copied().flatten() {
                    Some(logprob) => token.with_logprobs(core::Logprobs::new(logprob, likeliest(top))),
                    None => token,
                }
            })
            .collect()
    }
}

fn likeliest(top: BTreeMap<String, f32>) -> Vec<Alternative> {
    let mut top: Vec<Alternative> = top
        .into_iter()
        .map(|(shown, logprob)| Alternative::new(None, token_bytes(shown), logprob))
        .collect();
    top.sort_by(|a, b| b.logprob.total_cmp(&a.logprob));
    top
}

impl Listed {
    fn bytes(&mut self) -> Bytes {
        match self.bytes.take() {
            Some(bytes) => bytes.into(),
            None => std::mem::take(&mut self.token).into(),
        }
    }

    fn token(mut self) -> Token {
        let token = Token::new(self.id, self.bytes());
        let Some(logprob) = self.logprob else {
            return token;
        };
        let top = self
            .top_logprobs
            .into_iter()
            .flatten()
            .filter_map(|mut other| Some(Alternative::new(other.id, other.bytes(), other.logprob?)))
            .collect();
        token.with_logprobs(core::Logprobs::new(logprob, top))
    }
}
