//! What an event, or a whole reply, says.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use serde::{Deserialize, de::IgnoredAny};
use serde_json::Value;
use synapse_core::{Delta, Error, FinishReason, Framing, ToolCall, Usage};

use super::{block::Block, event::DONE};

mod logprobs;

pub(super) fn deltas(raw: &[u8], framing: Framing) -> Result<Vec<Delta>, Error> {
    let text = std::str::from_utf8(raw).map_err(|error| malformed(error.into()))?;
    match framing {
        Framing::Unframed => Ok(Vec::new()),
        Framing::Sse => match Block::parse(text).data.as_deref().map(str::trim) {
            None | Some("" | DONE) => Ok(Vec::new()),
            Some(json) => read(json),
        },
        _ => read(text),
    }
}

fn malformed(error: tower::BoxError) -> Error {
    Error::broken(
        "invalid_event",
        "an event of the reply is not what OpenAI's format allows",
    )
    .with_source(error)
}

#[derive(Deserialize)]
struct Reply {
    #[serde(default)]
    choices: Vec<Choice>,
    #[serde(default)]
    data: Vec<Item>,
    #[serde(default)]
    usage: Option<Counted>,
}

#[derive(Deserialize)]
struct Choice {
    #[serde(default)]
    index: u32,
    #[serde(default, alias = "message")]
    delta: Option<Said>,
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    finish_reason: Option<String>,
    #[serde(default)]
    logprobs: Option<logprobs::Logprobs>,
}

#[derive(Default, Deserialize)]
struct Said {
    #[serde(default)]
    role: Option<String>,
    #[serde(default)]
    content: Option<String>,
    #[serde(default)]
    reasoning_content: Option<String>,
    #[serde(default)]
    reasoning: Option<Value>,
    /// What it says instead of an answer.
    #[serde(default)]
    refusal: Option<String>,
    #[serde(default)]
    tool_calls: Option<Vec<Call>>,
    /// What came before `tool_calls`.
    #[serde(default)]
    function_call: Option<Function>,
}

#[derive(Default, Deserialize)]
struct Call {
    #[serde(default)]
    index: Option<u32>,
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    function: Option<Function>,
}

#[derive(Default, Deserialize)]
struct Function {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    arguments: Option<String>,
}

/// A vector of an embeddings reply. Models and rankings have `data` too, which is none of ours.
#[derive(Deserialize)]
#[serde(untagged)]
enum Item {
    Vector {
        #[serde(default)]
        index: u32,
        embedding: Vector,
    },
    Other(IgnoredAny),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Vector {
    Floats(Vec<f32>),
    Base64(String),
}

#[derive(Deserialize)]
struct Counted {
    #[serde(default)]
    prompt_tokens: u64,
    #[serde(default)]
    completion_tokens: u64,
}

fn read(json: &str) -> Result<Vec<Delta>, Error> {
    let reply: Reply = serde_json::from_str(json).map_err(|error| malformed(error.into()))?;
    let mut deltas: Vec<Delta> = reply.choices.into_iter().map(choice).collect();
    for item in reply.data {
        if let Item::Vector { index, embedding } = item {
            deltas.push(Delta::embedding(index, vector(embedding)?));
        }
    }
    if let Some(counted) = reply.usage {
        let usage = Usage {
            input_tokens: counted.prompt_tokens,
            output_tokens: counted.completion_tokens,
        };
        match deltas.last_mut() {
            Some(last) => last.usage = Some(usage),
            None => deltas.push(Delta::default().with_usage(usage)),
        }
    }
    Ok(deltas)
}

fn choice(choice: Choice) -> Delta {
    let said = choice.delta.unwrap_or_default();
    let mut delta = Delta::default();
    delta.index = choice.index;
    delta.role = said.role;
    let text = said.content.or(choice.text).filter(|text| !text.is_empty());
    delta.text = text.or(said.refusal).unwrap_or_default();
    delta.reasoning = said
        .reasoning_content
        .or_else(|| said.reasoning?.as_str().map(str::to_owned))
        .unwrap_or_default();
    let function = said.function_call.map(|function| Call {
        function: Some(function),
        ..Call::default()
    });
    delta.tool_calls = (0..)
        .zip(said.tool_calls.into_iter().flatten().chain(function))
        .map(|(position, call)| tool_call(position, call))
        .collect();
    delta.tokens = choice
        .logprobs
        .map(logprobs::Logprobs::tokens)
        .unwrap_or_default();
    delta.finish_reason = choice.finish_reason.as_deref().map(FinishReason::from);
    delta
}

/// Whole replies don't number their calls: there the position counts.
fn tool_call(position: u32, call: Call) -> ToolCall {
    let function = call.function.unwrap_or_default();
    let mut out = ToolCall::default();
    out.index = call.index.unwrap_or(position);
    out.id = call.id;
    out.name = function.name;
    out.arguments = function.arguments.unwrap_or_default();
    out
}

fn vector(vector: Vector) -> Result<Vec<f32>, Error> {
    let text = match vector {
        Vector::Floats(floats) => return Ok(floats),
        Vector::Base64(text) => text,
    };
    let bytes = BASE64_STANDARD
        .decode(&text)
        .map_err(|error| malformed(error.into()))?;
    let (floats, rest) = bytes.as_chunks::<4>();
    if !rest.is_empty() {
        return Err(malformed("a vector's bytes are no whole floats".into()));
    }
    Ok(floats.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
}

/// The bytes of a token that is shown as text; OpenAI writes those that are no characters as `bytes:\xe2\x82`.
fn token_bytes(shown: String) -> Bytes {
    let Some(escaped) = shown.strip_prefix("bytes:") else {
        return shown.into();
    };
    let bytes: Option<Vec<u8>> = escaped
        .split("\\x")
        .skip(1)
        .map(|hex| u8::from_str_radix(hex, 16).ok())
        .collect();
    match bytes {
        Some(bytes) if escaped.starts_with("\\x") => bytes.into(),
        _ => shown.into(),
    }
}
