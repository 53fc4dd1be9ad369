//! Text as a model sees it.

use std::{fmt, ops::Range};

use serde_json::Value;

use crate::{Error, Message};

/// Text to tokens of one vocabulary and back.
///
/// Input is untrusted and may be long: callers cap its length first, and keep long texts off the I/O threads.
pub trait Tokenizer: fmt::Debug + Send + Sync + 'static {
    /// The vocabulary's name or digest.
    fn name(&self) -> &str;

    /// The tokens of a text, without special tokens around it.
    ///
    /// # Errors
    /// Where the text is longer than the tokenizer takes.
    fn encode(&self, text: &str) -> Result<Vec<u32>, Error>;

    /// The tokens of a rendered prompt, whose template writes special tokens out; what a message says stays text
    /// ([`RenderedPrompt::pieces`]).
    ///
    /// # Errors
    /// As [`encode`](Tokenizer::encode).
    fn encode_prompt(&self, prompt: &RenderedPrompt) -> Result<Vec<u32>, Error> {
        self.encode(&prompt.text)
    }

    /// The text of some tokens; bytes that are no character become U+FFFD.
    ///
    /// # Errors
    /// Where an id is not of the vocabulary.
    fn decode(&self, tokens: &[u32]) -> Result<String, Error>;

    /// How many tokens a text has.
    ///
    /// # Errors
    /// As [`encode`](Tokenizer::encode).
    fn count(&self, text: &str) -> Result<TokenCount, Error> {
        Ok(TokenCount::exact(self.encode(text)?.len() as u64))
    }

    /// Whether a text takes time by its length alone, however hostile it is. One that does not is given short texts only.
    fn is_linear(&self) -> bool {
        false
    }

    /// The last place at which `text` may be cut so that its parts have the tokens of the whole between them, whatever
    /// comes before it and after it. None where there is no such place, or none that is known.
    fn last_cut(&self, _text: &str) -> Option<usize> {
        None
    }
}

/// A number of tokens, and whether it is the model's own count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TokenCount {
    tokens: u64,
    precision: Precision,
}

/// Whether a count is the model's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Precision {
    /// By the model's own vocabulary.
    Exact,
    /// By an estimate, or by another vocabulary.
    Approximate,
}

impl TokenCount {
    /// A count by the model's own vocabulary.
    #[must_use]
    pub fn exact(tokens: u64) -> Self {
        Self {
            tokens,
            precision: Precision::Exact,
        }
    }

    /// An estimate.
    #[must_use]
    pub fn approximate(tokens: u64) -> Self {
        Self {
            tokens,
            precision: Precision::Approximate,
        }
    }

    /// How many.
    #[must_use]
    pub fn tokens(self) -> u64 {
        self.tokens
    }

    /// How well it is known.
    #[must_use]
    pub fn precision(self) -> Precision {
        self.precision
    }

    /// The sum; approximate where either is.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            tokens: self.tokens.saturating_add(other.tokens),
            precision: self.precision.max(other.precision),
        }
    }
}

/// A conversation as the text that a model continues.
pub trait PromptRenderer: fmt::Debug + Send + Sync + 'static {
    /// Renders the messages, ready for the model's next one.
    ///
    /// # Errors
    /// Where the template refuses the messages (roles it does not know, content that is no text) or exceeds its bounds.
    fn render(&self, messages: &[Message], tools: Option<&Value>) -> Result<RenderedPrompt, Error>;
}

/// A conversation as text, and by which template.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RenderedPrompt {
    /// The text, special tokens written out.
    pub text: String,
    /// Where the template came from: a digest, or the file that held it.
    pub provenance: String,
    /// Where nothing is a special token although it may look like one, in order and apart.
    plain: Vec<Range<usize>>,
}

/// A run of a rendered prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PromptPiece<'a> {
    /// The template's, or harmless: special tokens that are written out in it are tokens.
    Template(&'a str),
    /// What a message says where that looks like a special token: nothing in it is one.
    Plain(&'a str),
}

impl RenderedPrompt {
    /// A text rendered by the template of this provenance.
    pub fn new(text: impl Into<String>, provenance: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            provenance: provenance.into(),
            plain: Vec::new(),
        }
    }

    /// Puts `text` at the end, in which nothing is a special token.
    pub fn push_plain(&mut self, text: &str) {
        let start = self.text.len();
        self.text.push_str(text);
        self.plain.push(start..self.text.len());
    }

    /// Puts `text` at the end, in which special tokens are tokens.
    pub fn push_template(&mut self, text: &str) {
        self.text.push_str(text);
    }

    /// The text in runs, in order.
    pub fn pieces(&self) -> impl Iterator<Item = PromptPiece<'_>> {
        let mut at = 0;
        let end = self.text.len();
        let ends = self.plain.iter().cloned().chain(std::iter::once(end..end));
        ends.flat_map(move |plain| {
            let before = PromptPiece::Template(&self.text[at..plain.start]);
            at = plain.end;
            [before, PromptPiece::Plain(&self.text[plain])]
        })
        .filter(|piece| !piece.text().is_empty())
    }
}

impl<'a> PromptPiece<'a> {
    /// Its text.
    #[must_use]
    pub fn text(self) -> &'a str {
        match self {
            Self::Template(text) | Self::Plain(text) => text,
        }
    }
}
