//! A reply as a stream of events.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::Serialize;
use synapse_core::{Delta, FinishReason, Usage};

use super::{Call, Counted, Function, ReplyShape, Shape, json, logprobs::Logprobs};

/// Writes a reply as server-sent events.
///
/// Each choice begins with its role and ends with an empty delta that says why; interior chunks say
/// `finish_reason: null`. [`finish`](StreamWriter::finish) writes the count of tokens, where it was asked for, and `[DONE]`.
#[derive(Debug)]
pub struct StreamWriter {
    shape: ReplyShape,
    /// Of each choice that began, how many characters are out.
    begun: BTreeMap<u32, usize>,
    usage: Option<Usage>,
}

#[derive(Serialize)]
struct Event<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    model: &'a str,
    choices: &'a [Choice<'a>],
    /// Absent unless it was asked for; then null in all events but the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Option<Counted>>,
}

#[derive(Serialize)]
struct Choice<'a> {
    index: u32,
    #[serde(flatten)]
    said: Said<'a>,
    logprobs: Option<Logprobs<'a>>,
    finish_reason: Option<&'a FinishReason>,
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Said<'a> {
    Delta(Added<'a>),
    Text(&'a str),
}

#[derive(Default, Serialize)]
struct Added<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<&'a str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    reasoning_content: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<Call<'a>>,
}

impl StreamWriter {
    pub(super) fn new(shape: ReplyShape) -> Self {
        Self {
            shape,
            begun: BTreeMap::new(),
            usage: None,
        }
    }

    /// The events that `delta` becomes: none where it says nothing but a count, several where it begins or ends a choice.
    #[must_use]
    pub fn event(&mut self, delta: &Delta) -> Bytes {
        let mut out = Vec::new();
        self.usage = delta.usage.or(self.usage);
        let says = says_something(delta);
        if !says && delta.role.is_none() && delta.finish_reason.is_none() {
            return Bytes::new();
        }
        let begins = !self.begun.contains_key(&delta.index);
        let mut offset = self.begun.get(&delta.index).copied().unwrap_or(0);
        if begins && self.shape.shape == Shape::Chat {
            let added = Added {
                role: Some(delta.role.as_deref().unwrap_or("assistant")),
                content: Some(""),
                ..Added::default()
            };
            self.write(&mut out, delta.index, Said::Delta(added), None, None);
        }
        if says {
            let top = self.shape.top_logprobs.filter(|_| !delta.tokens.is_empty());
            let logprobs = top.map(|top| Logprobs::new(self.shape.shape, &delta.tokens, top, &mut offset));
            self.write(&mut out, delta.index, self.said(delta), logprobs, None);
        }
        if let Some(reason) = &delta.finish_reason {
            let nothing = match self.shape.shape {
                Shape::Chat => Said::Delta(Added::default()),
                _ => Said::Text(""),
            };
            self.write(&mut out, delta.index, nothing, None, Some(reason));
        }
        self.begun.insert(delta.index, offset);
        out.into()
    }

    /// The events that end the reply: the count of tokens, where it was asked for and is known, and `[DONE]`.
    #[must_use]
    pub fn finish(self) -> Bytes {
        let mut out = Vec::new();
        if let Some(usage) = self.usage.filter(|_| self.shape.include_usage) {
            let counted = Counted::new(self.shape.shape, usage);
            self.write_event(&mut out, &[], Some(Some(counted)));
        }
        out.extend_from_slice(b"data: [DONE]\n\n");
        out.into()
    }

    fn said<'a>(&self, delta: &'a Delta) -> Said<'a> {
        if self.shape.shape != Shape::Chat {
            return Said::Text(&delta.text);
        }
        let alone = delta.reasoning.is_empty() && delta.tool_calls.is_empty();
        Said::Delta(Added {
            role: None,
            content: (alone || !delta.text.is_empty()).then_some(&delta.text),
            reasoning_content: &delta.reasoning,
            tool_calls: delta
                .tool_calls
                .iter()
                .map(|call| Call {
                    index: Some(call.index),
                    id: call.id.as_deref(),
                    r#type: call.id.as_ref().map(|_| "function"),
                    function: Function {
                        name: call.name.as_deref(),
                        arguments: &call.arguments,
                    },
                })
                .collect(),
        })
    }

    fn write(
        &self,
        out: &mut Vec<u8>,
        index: u32,
        said: Said<'_>,
        logprobs: Option<Logprobs<'_>>,
        finish_reason: Option<&FinishReason>,
    ) {
        let choice = Choice {
            index,
            said,
            logprobs,
            finish_reason,
        };
        self.write_event(out, &[choice], self.shape.include_usage.then_some(None));
    }

    fn write_event(&self, out: &mut Vec<u8>, choices: &[Choice<'_>], usage: Option<Option<Counted>>) {
        let event = Event {
            id: &self.shape.id,
            object: match self.shape.shape {
                Shape::Chat => "chat.completion.chunk",
                _ => "text_completion",
            },
            created: self.shape.created,
            model: &self.shape.model,
            choices,
            usage,
        };
        out.extend_from_slice(b"data: ");
        out.extend_from_slice(&json(&event));
        out.extend_from_slice(b"\n\n");
    }
}

/// Whether a delta adds anything to its choice. A token may be only a part of a character, and so add no text yet.
fn says_something(delta: &Delta) -> bool {
    !delta.text.is_empty()
        || !delta.reasoning.is_empty()
        || !delta.tool_calls.is_empty()
        || !delta.tokens.is_empty()
}
