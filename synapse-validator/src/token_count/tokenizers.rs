//! Which model counts how.

use std::{collections::HashMap, sync::Arc};

use synapse_core::{PromptRenderer, Tokenizer};

/// The tokenizers of the models that are served, and the templates by which their prompts are rendered.
///
/// ```
/// use std::sync::Arc;
/// use synapse_core::{Error, Tokenizer};
/// use synapse_validator::token_count::Tokenizers;
///
/// #[derive(Debug)]
/// struct Bytes;
/// impl Tokenizer for Bytes {
///     fn name(&self) -> &str {
///         "bytes"
///     }
///     fn encode(&self, text: &str) -> Result<Vec<u32>, Error> {
///         Ok(text.bytes().map(u32::from).collect())
///     }
///     fn decode(&self, tokens: &[u32]) -> Result<String, Error> {
///         Ok(tokens.iter().filter_map(|token| char::from_u32(*token)).collect())
///     }
/// }
///
/// let tokenizers = Tokenizers::new().with("smollm2", Arc::new(Bytes));
/// ```
#[derive(Debug, Clone, Default)]
pub struct Tokenizers(HashMap<String, Counting>);

/// How one model counts.
#[derive(Debug, Clone, Default)]
pub(super) struct Counting {
    pub(super) tokenizer: Option<Arc<dyn Tokenizer>>,
    pub(super) renderer: Option<Arc<dyn PromptRenderer>>,
}

impl Tokenizers {
    /// None yet: everything is estimated.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The same, counting `model` by `tokenizer`.
    #[must_use]
    pub fn with(mut self, model: impl Into<String>, tokenizer: Arc<dyn Tokenizer>) -> Self {
        self.0.entry(model.into()).or_default().tokenizer = Some(tokenizer);
        self
    }

    /// The same, rendering conversations with `model` by `renderer`, which makes their count exact.
    #[must_use]
    pub fn with_renderer(mut self, model: impl Into<String>, renderer: Arc<dyn PromptRenderer>) -> Self {
        self.0.entry(model.into()).or_default().renderer = Some(renderer);
        self
    }

    pub(super) fn of(&self, model: &str) -> Counting {
        self.0.get(model).cloned().unwrap_or_default()
    }
}
