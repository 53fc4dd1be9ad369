//! A request as a value of its own, in no dialect.

use serde_json::{Map, Value};

use crate::{Message, Params};

/// A request as a value of its own, in no dialect: what an engine reads and what [`Dialect::render`](crate::Dialect::render) writes.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Request {
    /// The model that is asked.
    pub model: String,
    /// What is asked.
    pub prompt: Prompt,
    /// Sampling, limits and streaming.
    pub params: Params,
    /// Everything else (`tools`, `response_format`, `user`, unknown fields), as the dialect wrote it.
    pub other: Map<String, Value>,
}

/// What is asked.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Prompt {
    /// A conversation.
    Messages(Vec<Message>),
    /// Texts to continue or to embed.
    Texts(Vec<String>),
    /// The same as token ids of the model's vocabulary.
    Tokens(Vec<Vec<u32>>),
}

impl Request {
    /// A request with the model's own defaults.
    pub fn new(model: impl Into<String>, prompt: Prompt) -> Self {
        Self {
            model: model.into(),
            prompt,
            params: Params::default(),
            other: Map::new(),
        }
    }

    /// The same with other parameters.
    #[must_use]
    pub fn with_params(mut self, edit: impl FnOnce(&mut Params)) -> Self {
        edit(&mut self.params);
        self
    }

    /// The messages of a conversation; empty for other prompts.
    #[must_use]
    pub fn messages(&self) -> &[Message] {
        match &self.prompt {
            Prompt::Messages(messages) => messages,
            _ => &[],
        }
    }
}
