//! What layers changed of a request.

use crate::Request;

/// What layers changed of a request; a [`Dialect`](crate::Dialect) splices it into the body.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Edits {
    /// Another model.
    pub model: Option<String>,
    /// Another cap on the reply's tokens.
    pub max_tokens: Option<u32>,
    /// Log-probabilities with this many alternatives a token.
    pub top_logprobs: Option<u8>,
}

impl Edits {
    /// Whether nothing was changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    pub(super) fn apply(&self, request: &mut Request) {
        if let Some(model) = &self.model {
            request.model.clone_from(model);
        }
        if let Some(tokens) = self.max_tokens {
            request.params.max_tokens = Some(tokens);
        }
        if let Some(top) = self.top_logprobs {
            request.params.logprobs = true;
            request.params.top_logprobs = Some(top);
        }
    }
}
