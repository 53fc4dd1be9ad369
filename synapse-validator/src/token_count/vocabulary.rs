//! How one model counts.

use std::sync::Arc;

use synapse_core::{Error, PromptRenderer, TokenCount, Tokenizer};

use super::prompt::estimate;

/// A longer text is counted in parts by a tokenizer that is not known to take linear time.
const EXACT_BYTES: usize = 256 * 1024;
/// Such a part, at most.
const PART_BYTES: usize = 16 * 1024;

/// A tokenizer, and the template by which its model's prompts are rendered.
#[derive(Debug, Clone)]
pub struct Vocabulary {
    pub(super) tokenizer: Arc<dyn Tokenizer>,
    pub(super) renderer: Option<Arc<dyn PromptRenderer>>,
}

impl Vocabulary {
    /// A vocabulary without a template: what a template adds to a conversation is estimated.
    #[must_use]
    pub fn new(tokenizer: Arc<dyn Tokenizer>) -> Self {
        Self {
            tokenizer,
            renderer: None,
        }
    }

    /// The same with a template, by which conversations are counted exactly.
    #[must_use]
    pub fn with_renderer(mut self, renderer: Arc<dyn PromptRenderer>) -> Self {
        self.renderer = Some(renderer);
        self
    }

    /// Whether so many bytes are counted as a whole.
    pub(super) fn takes_whole(&self, bytes: usize) -> bool {
        bytes <= EXACT_BYTES || self.tokenizer.is_linear()
    }

    /// The tokens of a text, which is counted in parts where it is too long to be counted as a whole. `wanted` is asked
    /// before each part, and ends the count with an estimate of the rest.
    pub(super) fn count(&self, text: &str, wanted: &dyn Fn() -> bool) -> Result<TokenCount, Error> {
        if self.takes_whole(text.len()) {
            return self.tokenizer.count(text);
        }
        let (mut sum, mut rest) = (TokenCount::approximate(0), text);
        while !rest.is_empty() {
            if !wanted() {
                return Ok(sum.plus(estimate(rest.len())));
            }
            let (part, after) = rest.split_at(part_end(rest));
            sum = sum.plus(self.tokenizer.count(part)?);
            rest = after;
        }
        Ok(sum)
    }
}

/// Where a part ends: before the last whitespace in its second half, else between two characters.
fn part_end(text: &str) -> usize {
    let end = text.floor_char_boundary(PART_BYTES);
    let half = text.floor_char_boundary(end / 2);
    match text[half..end].rfind(char::is_whitespace) {
        Some(space) if half + space > 0 && end < text.len() => half + space,
        _ => end,
    }
}
