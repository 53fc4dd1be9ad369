//! A reply as a stream of lines.

use std::collections::BTreeMap;

use bytes::Bytes;
use synapse_core::{Delta, Error, FinishReason, ToolCall, Usage};
use tokio::time::Instant;

use super::{End, Line, ReplyShape, Said, calls, done_reason, json, logprobs, nanoseconds, now};

/// The most that is held of calls until the reply's end, in bytes.
const LONGEST_CALLS: usize = 16 << 20;

/// Writes a reply as lines of JSON.
///
/// Tool calls are written once they are whole, with the reply's end, since Ollama's are not written in pieces;
/// [`finish`](StreamWriter::finish) writes them and the line that says `"done":true`, with the count of tokens.
#[derive(Debug)]
pub struct StreamWriter {
    shape: ReplyShape,
    begun: Option<Instant>,
    tool_calls: BTreeMap<u32, ToolCall>,
    /// How much was said of calls, in bytes.
    called: usize,
    finish_reason: Option<FinishReason>,
    usage: Option<Usage>,
}

impl StreamWriter {
    pub(super) fn new(shape: ReplyShape) -> Self {
        Self {
            shape,
            begun: None,
            tool_calls: BTreeMap::new(),
            called: 0,
            finish_reason: None,
            usage: None,
        }
    }

    /// The line that `delta` becomes; none where it adds nothing that can be shown yet. A format with one reply a request
    /// shows only the first of several.
    #[must_use]
    pub fn event(&mut self, delta: &Delta) -> Bytes {
        self.usage = delta.usage.or(self.usage);
        if delta.index != 0 {
            return Bytes::new();
        }
        self.called += delta.tool_calls.iter().map(size).sum::<usize>();
        if self.called <= LONGEST_CALLS {
            fold(&mut self.tool_calls, &delta.tool_calls);
        }
        if delta.finish_reason.is_some() {
            self.finish_reason.clone_from(&delta.finish_reason);
        }
        if delta.has_content() {
            self.begun.get_or_insert_with(Instant::now);
        }
        let logprobs = self.shape.top_logprobs.filter(|_| !delta.tokens.is_empty());
        if delta.text.is_empty() && delta.reasoning.is_empty() && logprobs.is_none() {
            return Bytes::new();
        }
        let role = delta.role.as_deref().unwrap_or("assistant");
        let said = Said::new(self.shape.shape, role, &delta.text, &delta.reasoning, Vec::new());
        self.line(said, None, logprobs.map(|top| logprobs::of(&delta.tokens, top)))
    }

    /// The lines that end the reply.
    ///
    /// # Errors
    /// [`Broken`](synapse_core::ErrorKind::Broken) with the code `invalid_arguments` where a tool was called with what is
    /// no JSON object; with `calls_too_large` where the calls have more than 16 MiB.
    pub fn finish(self) -> Result<Bytes, Error> {
        let mut out = Vec::new();
        if self.called > LONGEST_CALLS {
            return Err(Error::broken(
                "calls_too_large",
                format!("the model called tools with more than {LONGEST_CALLS} bytes"),
            )
            .with_hint("ask in OpenAI's format, which shows calls as the model writes them"));
        }
        if !self.tool_calls.is_empty() {
            let said = Said::new(
                self.shape.shape,
                "assistant",
                "",
                "",
                calls(self.tool_calls.values())?,
            );
            out.extend_from_slice(&self.line(said, None, None));
        }
        let end = End {
            done_reason: done_reason(self.finish_reason.as_ref()),
            total_duration: nanoseconds(self.shape.since),
            prompt_eval_count: self.usage.map(|usage| usage.input_tokens),
            eval_count: self.usage.map(|usage| usage.output_tokens),
            eval_duration: self.begun.map(nanoseconds),
        };
        let said = Said::new(self.shape.shape, "assistant", "", "", Vec::new());
        out.extend_from_slice(&self.line(said, Some(end), None));
        Ok(out.into())
    }

    fn line(
        &self,
        said: Said<'_>,
        end: Option<End<'_>>,
        logprobs: Option<Vec<logprobs::Chosen<'_>>>,
    ) -> Bytes {
        let mut line = json(&Line {
            model: &self.shape.model,
            created_at: now(),
            said,
            done: end.is_some(),
            end,
            logprobs,
        });
        line.push(b'\n');
        line.into()
    }
}

/// What a part of a call takes, in bytes, itself included.
fn size(part: &ToolCall) -> usize {
    let texts = [part.id.as_deref(), part.name.as_deref()];
    let named: usize = texts.into_iter().flatten().map(str::len).sum();
    size_of::<ToolCall>() + named + part.arguments.len()
}

/// Adds parts of calls to what came of them before.
pub(super) fn fold(whole: &mut BTreeMap<u32, ToolCall>, parts: &[ToolCall]) {
    for part in parts {
        let call = whole.entry(part.index).or_default();
        call.index = part.index;
        call.id = call.id.take().or_else(|| part.id.clone());
        call.name = call.name.take().or_else(|| part.name.clone());
        call.arguments.push_str(&part.arguments);
    }
}
