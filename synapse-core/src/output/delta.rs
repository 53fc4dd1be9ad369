//! What a chunk says, in no dialect.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// What one chunk adds to one reply: text, a tool call, tokens with log-probabilities, the end, the count.
///
/// An engine in Rust makes these, and a router renders them; of chunks that came over the wire they are a view.
///
/// ```
/// use synapse_core::{Delta, FinishReason, Usage};
/// let end = Delta::finish(FinishReason::Stop).with_usage(Usage { input_tokens: 12, output_tokens: 3 });
/// assert!(!Delta::text("Red").has_content() || end.finish_reason.is_some());
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct Delta {
    /// Which of several replies (`n`), or which of several embedded texts, counted from 0.
    pub index: u32,
    /// Who speaks, where the chunk says so.
    pub role: Option<String>,
    /// Text that is added to the reply.
    pub text: String,
    /// Text that is added to the model's reasoning.
    pub reasoning: String,
    /// Tool calls, or parts of them.
    pub tool_calls: Vec<ToolCall>,
    /// The tokens that the text was made of.
    pub tokens: Vec<Token>,
    /// The vector of an embedded text.
    pub embedding: Option<Vec<f32>>,
    /// Why the reply ends here.
    pub finish_reason: Option<FinishReason>,
    /// The count of tokens, as the server claims it.
    pub usage: Option<Usage>,
}

impl Delta {
    /// A delta that adds text.
    pub fn text(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            ..Self::default()
        }
    }

    /// A delta that ends a reply.
    #[must_use]
    pub fn finish(reason: FinishReason) -> Self {
        Self {
            finish_reason: Some(reason),
            ..Self::default()
        }
    }

    /// A delta that calls a tool, or goes on calling it.
    #[must_use]
    pub fn tool_call(call: ToolCall) -> Self {
        Self {
            tool_calls: vec![call],
            ..Self::default()
        }
    }

    /// The vector of the text with this index.
    #[must_use]
    pub fn embedding(index: u32, vector: Vec<f32>) -> Self {
        Self {
            index,
            embedding: Some(vector),
            ..Self::default()
        }
    }

    /// The same with the tokens that its text was made of.
    #[must_use]
    pub fn with_tokens(mut self, tokens: Vec<Token>) -> Self {
        self.tokens = tokens;
        self
    }

    /// The same with a count of tokens.
    #[must_use]
    pub fn with_usage(mut self, usage: Usage) -> Self {
        self.usage = Some(usage);
        self
    }

    /// Whether it holds anything that a user waits for: text, reasoning, a tool call, a vector, or the end.
    #[must_use]
    pub fn has_content(&self) -> bool {
        !self.text.is_empty()
            || !self.reasoning.is_empty()
            || !self.tool_calls.is_empty()
            || self.embedding.is_some()
            || self.finish_reason.is_some()
    }
}

/// Why a reply ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FinishReason {
    /// The model was done, or wrote one of the stop texts.
    Stop,
    /// The cap on tokens, or the context, was reached.
    Length,
    /// The model calls tools.
    ToolCalls,
    /// A filter stepped in.
    ContentFilter,
    /// Something else, as the server named it.
    #[serde(untagged)]
    Other(String),
}

impl FinishReason {
    /// The reason's name, as OpenAI writes it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Stop => "stop",
            Self::Length => "length",
            Self::ToolCalls => "tool_calls",
            Self::ContentFilter => "content_filter",
            Self::Other(name) => name,
        }
    }
}

impl From<&str> for FinishReason {
    fn from(name: &str) -> Self {
        match name {
            "stop" => Self::Stop,
            "length" => Self::Length,
            "tool_calls" => Self::ToolCalls,
            "content_filter" => Self::ContentFilter,
            other => Self::Other(other.into()),
        }
    }
}

/// How many tokens a request took. What a miner reports is a claim.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Usage {
    /// Tokens of the prompt.
    pub input_tokens: u64,
    /// Tokens of the reply.
    pub output_tokens: u64,
}

impl Usage {
    /// Both together.
    #[must_use]
    pub fn total(self) -> u64 {
        self.input_tokens.saturating_add(self.output_tokens)
    }
}

/// A call of a tool, or a part of one: names come first, arguments in pieces.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ToolCall {
    /// Which of several calls, counted from 0.
    pub index: u32,
    /// The call's id, where the chunk says it.
    pub id: Option<String>,
    /// The function's name, where the chunk says it.
    pub name: Option<String>,
    /// What is added to the arguments' JSON text.
    pub arguments: String,
}

impl ToolCall {
    /// A whole call of `name`, with its arguments' JSON text.
    pub fn new(
        index: u32,
        id: impl Into<String>,
        name: impl Into<String>,
        arguments: impl Into<String>,
    ) -> Self {
        Self {
            index,
            id: Some(id.into()),
            name: Some(name.into()),
            arguments: arguments.into(),
        }
    }
}

/// A token that an engine chose.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Token {
    /// Its id in the model's vocabulary, where the server gives it.
    pub id: Option<u32>,
    /// Its bytes, which need not be whole characters.
    pub bytes: Bytes,
    /// How likely it was, where it was asked for.
    pub logprobs: Option<Logprobs>,
}

impl Token {
    /// A token by id and bytes.
    pub fn new(id: impl Into<Option<u32>>, bytes: impl Into<Bytes>) -> Self {
        Self {
            id: id.into(),
            bytes: bytes.into(),
            logprobs: None,
        }
    }

    /// The same with how likely it was.
    #[must_use]
    pub fn with_logprobs(mut self, logprobs: Logprobs) -> Self {
        self.logprobs = Some(logprobs);
        self
    }
}

/// How likely a chosen token was, and what else was likely: natural logarithms, ≤ 0, of the raw distribution at temperature 1.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct Logprobs {
    /// Of the chosen token.
    pub logprob: f32,
    /// The likeliest tokens, likeliest first; the chosen one may be among them.
    pub top: Vec<Alternative>,
}

impl Logprobs {
    /// Of the chosen token, with the likeliest ones.
    #[must_use]
    pub fn new(logprob: f32, top: Vec<Alternative>) -> Self {
        Self { logprob, top }
    }
}

/// A token that was likely at some position.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Alternative {
    /// Its id in the model's vocabulary, where the server gives it.
    pub id: Option<u32>,
    /// Its bytes, which need not be whole characters.
    pub bytes: Bytes,
    /// How likely it was.
    pub logprob: f32,
}

impl Alternative {
    /// A token by id, bytes and log-probability.
    pub fn new(id: impl Into<Option<u32>>, bytes: impl Into<Bytes>, logprob: f32) -> Self {
        Self {
            id: id.into(),
            bytes: bytes.into(),
            logprob,
        }
    }
}
