//! Vocabularies of a `tokenizer.json`.

use std::{fmt, path::Path};

use synapse_core::{Error, PromptPiece, RenderedPrompt, Tokenizer};

/// Counts by a `tokenizer.json`, as Hugging Face's models have it. Special tokens that are written out are text, but in
/// what a template writes.
///
/// Added tokens that the file does not call special are tokens wherever they are written, as they are to those who serve
/// its model. A file's truncation and padding are not applied.
pub struct JsonTokenizer {
    name: String,
    /// For what is said, where special tokens are text.
    text: tokenizers::Tokenizer,
    /// For what a template writes.
    template: tokenizers::Tokenizer,
}

impl JsonTokenizer {
    /// Reads a file, which blocks.
    ///
    /// # Errors
    /// Where there is none, or it is no tokenizer.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let bytes = std::fs::read(path).map_err(|error| {
            let message = format!("reading the tokenizer {} failed: {error}", path.display());
            Error::unavailable("tokenizer_unreadable", message)
                .with_hint("check the path, and that this user may read it")
        })?;
        Self::parse(path.display().to_string(), &bytes)
    }

    /// Reads the content of such a file.
    ///
    /// # Errors
    /// Where it is no tokenizer.
    pub fn parse(name: impl Into<String>, content: &[u8]) -> Result<Self, Error> {
        let name = name.into();
        let refused = |error: tokenizers::Error| {
            let message = format!("{name} is no tokenizer that can be read: {error}");
            Error::invalid("invalid_tokenizer", message)
                .with_hint("take the tokenizer.json that belongs to the model, whole")
        };
        let mut template = tokenizers::Tokenizer::from_bytes(content).map_err(refused)?;
        template.with_truncation(None).map_err(refused)?;
        template.with_padding(None);
        let mut text = template.clone();
        text.set_encode_special_tokens(true);
        Ok(Self { name, text, template })
    }

    fn tokens(&self, tokenizer: &tokenizers::Tokenizer, text: &str) -> Result<Vec<u32>, Error> {
        let encoded = tokenizer.encode_fast(text, false).map_err(|error| {
            let message = format!("{} does not take this text: {error}", self.name);
            Error::invalid("text_not_tokenized", message)
        })?;
        Ok(encoded.get_ids().to_vec())
    }
}

impl Tokenizer for JsonTokenizer {
    fn name(&self) -> &str {
        &self.name
    }

    fn encode(&self, text: &str) -> Result<Vec<u32>, Error> {
        self.tokens(&self.text, text)
    }

    fn encode_prompt(&self, prompt: &RenderedPrompt) -> Result<Vec<u32>, Error> {
        let mut tokens = Vec::new();
        for piece in prompt.pieces() {
            tokens.extend(match piece {
                PromptPiece::Plain(text) => self.tokens(&self.text, text)?,
                template => self.tokens(&self.template, template.text())?,
            });
        }
        Ok(tokens)
    }

    fn decode(&self, tokens: &[u32]) -> Result<String, Error> {
        if let Some(unknown) = tokens
            .iter()
            .find(|&&token| self.text.id_to_token(token).is_none())
        {
            let message = format!("{} has no token {unknown}", self.name);
            return Err(Error::invalid("unknown_token", message));
        }
        self.text.decode(tokens, false).map_err(|error| {
            let message = format!("{} does not take these tokens back: {error}", self.name);
            Error::invalid("tokens_not_decoded", message)
        })
    }
}

impl fmt::Debug for JsonTokenizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("JsonTokenizer").field(&self.name).finish()
    }
}
