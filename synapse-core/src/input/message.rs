//! Messages of a conversation.

use serde_json::{Map, Value};

/// One message of a conversation.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Message {
    /// Who speaks: `system`, `user`, `assistant`, `tool`, or what else a model was taught.
    pub role: String,
    /// What is said.
    pub content: Content,
    /// Everything else the message carries (`name`, `tool_calls`, `tool_call_id`, unknown fields), untouched.
    pub other: Map<String, Value>,
}

/// What a message says.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Content {
    /// Nothing, as in a message that only calls tools.
    None,
    /// Text.
    Text(String),
    /// Several parts, text among them.
    Parts(Vec<Part>),
}

/// A part of a message's content.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Part {
    /// Text.
    Text(String),
    /// Anything else (an image, audio, a file), as the dialect wrote it.
    Other(Value),
}

impl Message {
    /// A message of `role` that says `text`.
    pub fn new(role: impl Into<String>, text: impl Into<String>) -> Self {
        Self::with_content(role, Content::Text(text.into()))
    }

    /// A message of `role` with any content.
    pub fn with_content(role: impl Into<String>, content: Content) -> Self {
        Self {
            role: role.into(),
            content,
            other: Map::new(),
        }
    }

    /// A message of the user's.
    pub fn user(text: impl Into<String>) -> Self {
        Self::new("user", text)
    }

    /// A message that sets the scene.
    pub fn system(text: impl Into<String>) -> Self {
        Self::new("system", text)
    }

    /// A message of the model's.
    pub fn assistant(text: impl Into<String>) -> Self {
        Self::new("assistant", text)
    }
}

impl Content {
    /// The text in it, parts joined; `None` where a part is something else.
    #[must_use]
    pub fn text(&self) -> Option<std::borrow::Cow<'_, str>> {
        match self {
            Self::None => Some("".into()),
            Self::Text(text) => Some(text.into()),
            Self::Parts(parts) => {
                let texts: Option<Vec<&str>> = parts
                    .iter()
                    .map(|part| match part {
                        Part::Text(text) => Some(text.as_str()),
                        Part::Other(_) => None,
                    })
                    .collect();
                Some(texts?.concat().into())
            }
        }
    }
}
