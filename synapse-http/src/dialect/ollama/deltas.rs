//! What a line, or a whole reply, says.

use bytes::Bytes;
use serde::Deserialize;
use synapse_core::{Alternative, Delta, Error, FinishReason, Framing, Logprobs, Token, ToolCall, Usage};

use super::messages::GivenCall;

pub(super) fn deltas(raw: &[u8], framing: Framing) -> Result<Vec<Delta>, Error> {
    if framing == Framing::Unframed {
        return Ok(Vec::new());
    }
    let reply: Reply<'_> = serde_json::from_slice(raw).map_err(|error| {
        Error::broken(
            "invalid_event",
            "a line of the reply is not what Ollama's format allows",
        )
        .with_source(error)
    })?;
    Ok(reply.deltas())
}

#[derive(Deserialize)]
struct Reply<'a> {
    #[serde(default, borrow)]
    message: Option<Said<'a>>,
    #[serde(default)]
    response: Option<String>,
    #[serde(default)]
    thinking: Option<String>,
    #[serde(default, borrow)]
    tool_calls: Option<Vec<GivenCall<'a>>>,
    #[serde(default)]
    done: bool,
    #[serde(default)]
    done_reason: Option<String>,
    #[serde(default)]
    prompt_eval_count: Option<u64>,
    #[serde(default)]
    eval_count: Option<u64>,
    #[serde(default)]
    logprobs: Option<Vec<Listed>>,
    #[serde(default)]
    embeddings: Option<Vec<Vec<f32>>>,
    #[serde(default)]
    embedding: Option<Vec<f32>>,
}

#[derive(Default, Deserialize)]
struct Said<'a> {
    #[serde(default)]
    role: Option<String>,
    #[serde(default)]
    content: Option<String>,
    #[serde(default)]
    thinking: Option<String>,
    #[serde(default, borrow)]
    tool_calls: Option<Vec<GivenCall<'a>>>,
}

#[derive(Deserialize)]
struct Listed {
    token: String,
    #[serde(default)]
    logprob: Option<f32>,
    #[serde(default)]
    bytes: Option<Vec<u8>>,
    #[serde(default)]
    top_logprobs: Option<Vec<Listed>>,
}

impl Reply<'_> {
    fn deltas(self) -> Vec<Delta> {
        let usage = Usage {
            input_tokens: self.prompt_eval_count.unwrap_or(0),
            output_tokens: self.eval_count.unwrap_or(0),
        };
        let counts = self.done || self.prompt_eval_count.or(self.eval_count).is_some();
        let usage = counts.then_some(usage);
        if let Some(vectors) = self.embeddings.or(self.embedding.map(|vector| vec![vector])) {
            let mut deltas: Vec<Delta> = (0..)
                .zip(vectors)
                .map(|(index, vector)| Delta::embedding(index, vector))
                .collect();
            if let Some(last) = deltas.last_mut() {
                last.usage = usage;
            }
            return deltas;
        }
        let said = self.message.unwrap_or_default();
        let calls = said.tool_calls.or(self.tool_calls).unwrap_or_default();
        let mut delta = Delta::default();
        delta.role = said.role.filter(|role| !role.is_empty());
        delta.text = said.content.or(self.response).unwrap_or_default();
        delta.reasoning = said.thinking.or(self.thinking).unwrap_or_default();
        delta.tool_calls = (0..)
            .zip(calls)
            .map(|(position, call)| tool_call(position, call))
            .collect();
        delta.tokens = self
            .logprobs
            .unwrap_or_default()
            .into_iter()
            .map(Listed::token)
            .collect();
        if self.done {
            delta.finish_reason = match self.done_reason.as_deref() {
                // OpenAI has a reason of its own for a reply that calls tools.
                Some("stop") if !delta.tool_calls.is_empty() => Some(FinishReason::ToolCalls),
                reason => reason.filter(|reason| !reason.is_empty()).map(FinishReason::from),
            };
        }
        delta.usage = usage;
        vec![delta]
    }
}

fn tool_call(position: u32, call: GivenCall<'_>) -> ToolCall {
    let mut out = ToolCall::default();
    out.index = call.function.index.unwrap_or(position);
    out.arguments = call.function.arguments();
    out.id = call.id.filter(|id| !id.is_empty());
    out.name = Some(call.function.name);
    out
}

impl Listed {
    fn bytes(&mut self) -> Bytes {
        match self.bytes.take() {
            Some(bytes) => bytes.into(),
            None => std::mem::take(&mut self.token).into(),
        }
    }

    fn token(mut self) -> Token {
        let token = Token::new(None, self.bytes());
        let Some(logprob) = self.logprob else {
            return token;
        };
        let top = self
            .top_logprobs
            .into_iter()
            .flatten()
            .filter_map(|mut other| Some(Alternative::new(None, other.bytes(), other.logprob?)))
            .collect();
        token.with_logprobs(Logprobs::new(logprob, top))
    }
}
