use synapse_core::{Error, RenderedPrompt, Tokenizer};

use crate::error::LlamaError;
use crate::template::PromptPiece;
use crate::weights::LlamaWeights;

/// The longest text that is tokenised, in bytes.
const MAX_TEXT: usize = 16 << 20;

/// The model's own tokenizer; counts are exact.
///
/// Texts are tokenised on the calling thread, some megabytes a second: keep long ones off an async reactor.
#[derive(Clone, Debug)]
pub struct LlamaTokenizer {
    weights: LlamaWeights,
    name: String,
}

/// What becomes of a control token's text, such as `<|im_end|>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Control {
    /// It is the token.
    Token,
    /// It is those characters.
    Text,
}

impl LlamaTokenizer {
    /// The tokenizer of these weights.
    pub fn new(weights: LlamaWeights) -> Self {
        let part = |key| weights.gguf().text(key).unwrap_or("unknown");
        let name = format!("{}/{}", part("tokenizer.ggml.model"), part("tokenizer.ggml.pre"));
        Self { weights, name }
    }

    /// The tokens of a text to continue: as the model was trained to see the beginning of a document, so after a `BOS`
    /// token where the vocabulary asks for one. Control tokens' texts are text.
    ///
    /// # Errors
    /// [`LlamaError::InvalidParameter`] where the text is longer than 16 MiB.
    pub fn encode_document(&self, text: &str) -> Result<Vec<u32>, LlamaError> {
        let mut tokens = self.beginning();
        tokens.extend(self.tokens(text, Control::Text)?);
        Ok(tokens)
    }

    /// The tokens of a rendered prompt. Where the vocabulary asks for a `BOS` token and the template wrote none, one is
    /// put before it.
    ///
    /// # Errors
    /// As [`encode_document`](Self::encode_document).
    pub fn encode_pieces(&self, pieces: &[PromptPiece]) -> Result<Vec<u32>, LlamaError> {
        let mut tokens = Vec::new();
        for piece in pieces {
            tokens.extend(match piece {
                PromptPiece::Trusted(text) => self.tokens(text, Control::Token)?,
                PromptPiece::Plain(text) => self.tokens(text, Control::Text)?,
            });
        }
        let beginning = self.beginning();
        if tokens.starts_with(&beginning) {
            return Ok(tokens);
        }
        Ok([beginning, tokens].concat())
    }

    /// The fewest tokens that a text of so many bytes can have.
    pub(crate) fn fewest_tokens(&self, bytes: usize) -> u64 {
        (bytes / self.weights.longest_piece()) as u64
    }

    fn beginning(&self) -> Vec<u32> {
        let vocabulary = self.weights.model().vocab();
        let bos = u32::try_from(vocabulary.bos().0).ok();
        bos.filter(|_| vocabulary.should_add_bos()).into_iter().collect()
    }

    fn tokens(&self, text: &str, control: Control) -> Result<Vec<u32>, LlamaError> {
        if text.len() > MAX_TEXT {
            return Err(LlamaError::invalid(
                "text",
                format!("has {} bytes; at most {MAX_TEXT} are tokenised", text.len()),
            ));
        }
        let tokens = self
            .weights
            .model()
            .vocab()
            .tokenize(text.as_bytes(), false, control == Control::Token);
        // llama.cpp's ids are never negative here.
        Ok(tokens
            .into_iter()
            .filter_map(|token| u32::try_from(token.0).ok())
            .collect())
    }
}

impl Tokenizer for LlamaTokenizer {
    fn name(&self) -> &str {
        &self.name
    }

    fn encode(&self, text: &str) -> Result<Vec<u32>, Error> {
        Ok(self.tokens(text, Control::Text)?)
    }

    fn encode_prompt(&self, prompt: &RenderedPrompt) -> Result<Vec<u32>, Error> {
        let pieces: Vec<PromptPiece> = prompt
            .pieces()
            .map(|piece| match piece {
                synapse_core::PromptPiece::Plain(text) => PromptPiece::Plain(text.to_owned()),
                trusted => PromptPiece::Trusted(trusted.text().to_owned()),
            })
            .collect();
        Ok(self.encode_pieces(&pieces)?)
    }

    fn decode(&self, tokens: &[u32]) -> Result<String, Error> {
        let known = tokens
            .iter()
            .map(|&id| self.weights.token(id).ok_or(id))
            .collect::<Result<Vec<_>, _>>();
        let known = known.map_err(|id| {
            let reason = format!(
                "hold {id}; the vocabulary ends at {}",
                self.weights.vocabulary_size()
            );
            LlamaError::invalid("tokens", reason)
        })?;
        if known.is_empty() {
            return Ok(String::new());
        }
        let bytes = self.weights.model().vocab().detokenize(&known, false, true);
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}
