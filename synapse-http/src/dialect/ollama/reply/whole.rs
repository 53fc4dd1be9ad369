//! A reply as one document.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::Serialize;
use synapse_core::{Delta, Error, FinishReason, Token, ToolCall, Usage};
use tokio::time::Instant;

use super::{
    End, Line, ReplyShape, Said, Shape, calls, done_reason, json, logprobs, nanoseconds, now, stream::fold,
};

/// Folds deltas into one document.
#[derive(Debug)]
pub struct WholeWriter {
    shape: ReplyShape,
    begun: Option<Instant>,
    text: String,
    thinking: String,
    tool_calls: BTreeMap<u32, ToolCall>,
    tokens: Vec<Token>,
    vectors: BTreeMap<u32, Vec<f32>>,
    finish_reason: Option<FinishReason>,
    usage: Option<Usage>,
}

#[derive(Serialize)]
struct Vectors<'a> {
    model: &'a str,
    embeddings: Vec<&'a [f32]>,
    total_duration: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt_eval_count: Option<u64>,
}

#[derive(Serialize)]
struct Vector<'a> {
    embedding: &'a [f32],
}

impl WholeWriter {
    pub(super) fn new(shape: ReplyShape) -> Self {
        Self {
            shape,
            begun: None,
            text: String::new(),
            thinking: String::new(),
            tool_calls: BTreeMap::new(),
            tokens: Vec::new(),
            vectors: BTreeMap::new(),
            finish_reason: None,
            usage: None,
        }
    }

    /// Adds what `delta` says.
    pub fn push(&mut self, delta: &Delta) {
        self.usage = delta.usage.or(self.usage);
        if let Some(vector) = &delta.embedding {
            self.vectors
                .entry(delta.index)
                .or_default()
                .extend_from_slice(vector);
        }
        if delta.index != 0 {
            return;
        }
        if delta.has_content() {
            self.begun.get_or_insert_with(Instant::now);
        }
        self.text.push_str(&delta.text);
        self.thinking.push_str(&delta.reasoning);
        fold(&mut self.tool_calls, &delta.tool_calls);
        if self.shape.top_logprobs.is_some() {
            self.tokens.extend_from_slice(&delta.tokens);
        }
        if delta.finish_reason.is_some() {
            self.finish_reason.clone_from(&delta.finish_reason);
        }
    }

    /// The document.
    ///
    /// # Errors
    /// [`Broken`](synapse_core::ErrorKind::Broken) with the code `invalid_arguments` where a tool was called with what is
    /// no JSON object.
    pub fn finish(self) -> Result<Bytes, Error> {
        let shape = &self.shape;
        let prompt_eval_count = self.usage.map(|usage| usage.input_tokens);
        let json = match shape.shape {
            Shape::Embed => json(&Vectors {
                model: &shape.model,
                embeddings: self.vectors.values().map(Vec::as_slice).collect(),
                total_duration: nanoseconds(shape.since),
                prompt_eval_count,
            }),
            Shape::Embedding => json(&Vector {
                embedding: self.vectors.values().next().map_or(&[], Vec::as_slice),
            }),
            Shape::Chat | Shape::Generate => {
                let calls = calls(self.tool_calls.values())?;
                json(&Line {
                    model: &shape.model,
                    created_at: now(),
                    said: Said::new(shape.shape, "assistant", &self.text, &self.thinking, calls),
                    done: true,
                    end: Some(End {
                        done_reason: done_reason(self.finish_reason.as_ref()),
                        total_duration: nanoseconds(shape.since),
                        prompt_eval_count,
                        eval_count: self.usage.map(|usage| usage.output_tokens),
                        eval_duration: self.begun.map(nanoseconds),
                    }),
                    logprobs: shape.top_logprobs.map(|top| logprobs::of(&self.tokens, top)),
                })
            }
        };
        Ok(json.into())
    }
}
