//! A reply as one document.

use std::collections::BTreeMap;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use serde::Serialize;
use synapse_core::{Delta, FinishReason, Token, ToolCall, Usage};

use super::{Call, Counted, Encoding, Function, ReplyShape, Shape, json, logprobs::Logprobs};

/// Folds deltas into one `chat.completion`, `text_completion` or list of embeddings.
#[derive(Debug)]
pub struct WholeWriter {
    shape: ReplyShape,
    choices: BTreeMap<u32, Folded>,
    usage: Option<Usage>,
}

/// What the deltas of one choice add up to.
#[derive(Debug, Default)]
struct Folded {
    role: Option<String>,
    text: String,
    reasoning: String,
    tool_calls: BTreeMap<u32, ToolCall>,
    tokens: Vec<Token>,
    embedding: Vec<f32>,
    finish_reason: Option<FinishReason>,
}

#[derive(Serialize)]
struct Completion<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    model: &'a str,
    choices: Vec<Choice<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Counted>,
}

#[derive(Serialize)]
struct Choice<'a> {
    index: u32,
    #[serde(flatten)]
    said: Said<'a>,
    logprobs: Option<Logprobs<'a>>,
    /// `null` where the reply did not say: a reason that nobody gave is not made up.
    finish_reason: Option<&'a FinishReason>,
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Said<'a> {
    Message(Message<'a>),
    Text(&'a str),
}

#[derive(Serialize)]
struct Message<'a> {
    role: &'a str,
    content: Option<&'a str>,
    refusal: (),
    #[serde(skip_serializing_if = "str::is_empty")]
    reasoning_content: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<Call<'a>>,
}

#[derive(Serialize)]
struct Embeddings<'a> {
    object: &'static str,
    data: Vec<Embedding<'a>>,
    model: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Counted>,
}

#[derive(Serialize)]
struct Embedding<'a> {
    object: &'static str,
    index: u32,
    embedding: Vector<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Vector<'a> {
    Floats(&'a [f32]),
    Base64(String),
}

impl WholeWriter {
    pub(super) fn new(shape: ReplyShape) -> Self {
        Self {
            shape,
            choices: BTreeMap::new(),
            usage: None,
        }
    }

    /// Adds what `delta` says.
    pub fn push(&mut self, delta: &Delta) {
        self.usage = delta.usage.or(self.usage);
        let only_counts = delta.role.is_none() && delta.tokens.is_empty() && !delta.has_content();
        if only_counts && delta.usage.is_some() {
            return;
        }
        let folded = self.choices.entry(delta.index).or_default();
        if delta.role.is_some() {
            folded.role.clone_from(&delta.role);
        }
        folded.text.push_str(&delta.text);
        folded.reasoning.push_str(&delta.reasoning);
        for call in &delta.tool_calls {
            let whole = folded.tool_calls.entry(call.index).or_default();
            whole.id = whole.id.take().or_else(|| call.id.clone());
            whole.name = whole.name.take().or_else(|| call.name.clone());
            whole.arguments.push_str(&call.arguments);
        }
        if self.shape.top_logprobs.is_some() {
            folded.tokens.extend_from_slice(&delta.tokens);
        }
        if let Some(vector) = &delta.embedding {
            folded.embedding.extend_from_slice(vector);
        }
        if delta.finish_reason.is_some() {
            folded.finish_reason.clone_from(&delta.finish_reason);
        }
    }

    /// The document.
    #[must_use]
    pub fn finish(self) -> Bytes {
        let shape = &self.shape;
        let usage = self.usage.map(|usage| Counted::new(shape.shape, usage));
        let json = match shape.shape {
            Shape::Embeddings => json(&Embeddings {
                object: "list",
                data: self.embeddings(),
                model: &shape.model,
                usage,
            }),
            Shape::Chat | Shape::Completion => json(&Completion {
                id: &shape.id,
                object: match shape.shape {
                    Shape::Chat => "chat.completion",
                    _ => "text_completion",
                },
                created: shape.created,
                model: &shape.model,
                choices: self
                    .choices
                    .iter()
                    .map(|(index, folded)| folded.choice(*index, shape))
                    .collect(),
                usage,
            }),
        };
        json.into()
    }

    fn embeddings(&self) -> Vec<Embedding<'_>> {
        self.choices
            .iter()
            .map(|(index, folded)| Embedding {
                object: "embedding",
                index: *index,
                embedding: match self.shape.encoding {
                    Encoding::Float => Vector::Floats(&folded.embedding),
                    Encoding::Base64 => {
                        let bytes: Vec<u8> = folded
                            .embedding
                            .iter()
                            .flat_map(|number| number.to_le_bytes())
                            .collect();
                        Vector::Base64(BASE64_STANDARD.encode(bytes))
                    }
                },
            })
            .collect()
    }
}

impl Folded {
    fn choice<'a>(&'a self, index: u32, shape: &ReplyShape) -> Choice<'a> {
        let said = match shape.shape {
            Shape::Chat => Said::Message(self.message()),
            _ => Said::Text(&self.text),
        };
        Choice {
            index,
            said,
            logprobs: shape
                .top_logprobs
                .map(|top| Logprobs::new(shape.shape, &self.tokens, top, &mut 0)),
            finish_reason: self.finish_reason.as_ref(),
        }
    }

    fn message(&self) -> Message<'_> {
        let silent = self.text.is_empty() && !self.tool_calls.is_empty();
        Message {
            role: self.role.as_deref().unwrap_or("assistant"),
            content: (!silent).then_some(&self.text),
            refusal: (),
            reasoning_content: &self.reasoning,
            tool_calls: self
                .tool_calls
                .values()
                .map(|call| Call {
                    index: None,
                    id: call.id.as_deref(),
                    r#type: Some("function"),
                    function: Function {
                        name: call.name.as_deref(),
                        arguments: &call.arguments,
                    },
                })
                .collect(),
        }
    }
}
