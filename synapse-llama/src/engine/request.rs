use super::Sampling;
use super::config::Sizes;
use crate::error::LlamaError;
use crate::weights::LlamaWeights;

/// The most stop texts of one request.
const MAX_STOPS: usize = 16;
/// The longest stop text, in bytes.
const MAX_STOP_BYTES: usize = 1024;
/// The most alternatives that come with each token.
const MAX_TOP_LOGPROBS: u8 = 20;

/// How many tokens the texts of one request for embeddings may have together, in context lengths.
const MAX_TEXT_CONTEXTS: u64 = 32;

/// A prompt in tokens, and how to go on from it.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct GenerateRequest {
    /// The prompt, in the model's token ids.
    pub prompt: Vec<u32>,
    /// Most tokens that the reply may have; `None` lets it fill the context.
    pub max_tokens: Option<u32>,
    /// How the next token is chosen.
    pub sampling: Sampling,
    /// Texts that end the reply and are not part of it; at most 16, each of 1 to 1024 bytes.
    pub stop: Vec<String>,
    /// Whether each token comes with log-probabilities, and with how many likeliest alternatives (0 to 20).
    pub top_logprobs: Option<u8>,
}

impl GenerateRequest {
    /// Goes on from `prompt` with the defaults: temperature 1, no stops, until the model is done or the context full.
    pub fn new(prompt: Vec<u32>) -> Self {
        Self {
            prompt,
            ..Self::default()
        }
    }

    /// A reply of at most so many tokens.
    #[must_use]
    pub fn with_max_tokens(self, tokens: u32) -> Self {
        Self {
            max_tokens: Some(tokens),
            ..self
        }
    }

    /// Tokens chosen so.
    #[must_use]
    pub fn with_sampling(self, sampling: Sampling) -> Self {
        Self { sampling, ..self }
    }

    /// Texts that end the reply.
    #[must_use]
    pub fn with_stop(self, stop: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            stop: stop.into_iter().map(Into::into).collect(),
            ..self
        }
    }

    /// Log-probabilities for each token, with so many alternatives.
    #[must_use]
    pub fn with_top_logprobs(self, alternatives: u8) -> Self {
        Self {
            top_logprobs: Some(alternatives),
            ..self
        }
    }

    /// Checks every field against the model and the engine's size.
    pub(super) fn check(&self, weights: &LlamaWeights, sizes: &Sizes) -> Result<(), LlamaError> {
        check_prompt(&self.prompt, weights, sizes.context_length)?;
        if self.max_tokens == Some(0) {
            return Err(LlamaError::invalid(
                "max_tokens",
                "is 0; ask for at least one token",
            ));
        }
        if self.stop.len() > MAX_STOPS {
            return Err(LlamaError::invalid(
                "stop",
                format!("has {} texts; at most {MAX_STOPS} are taken", self.stop.len()),
            ));
        }
        if self
            .stop
            .iter()
            .any(|stop| stop.is_empty() || stop.len() > MAX_STOP_BYTES)
        {
            return Err(LlamaError::invalid(
                "stop",
                format!("has a text that is empty or over {MAX_STOP_BYTES} bytes"),
            ));
        }
        if self.top_logprobs.is_some_and(|top| top > MAX_TOP_LOGPROBS) {
            return Err(LlamaError::invalid(
                "top_logprobs",
                format!("must be 0 to {MAX_TOP_LOGPROBS}"),
            ));
        }
        self.sampling.check(weights)
    }
}

/// Texts must be prompts, at least one, and together no more than [`MAX_TEXT_CONTEXTS`] contexts.
pub(super) fn check_texts(
    texts: &[Vec<u32>],
    weights: &LlamaWeights,
    context_length: u32,
) -> Result<(), LlamaError> {
    if texts.is_empty() {
        return Err(LlamaError::invalid("input", "has no texts; give at least one"));
    }
    for text in texts {
        check_prompt(text, weights, context_length)?;
    }
    let tokens: u64 = texts.iter().map(|text| text.len() as u64).sum();
    let most = MAX_TEXT_CONTEXTS * u64::from(context_length);
    if tokens > most {
        let reason = format!("has {tokens} tokens and {most} are taken at once; send fewer texts");
        return Err(LlamaError::invalid("input", reason));
    }
    Ok(())
}

/// A prompt must have a token, leave room for one, and hold none that the vocabulary lacks.
pub(super) fn check_prompt(
    prompt: &[u32],
    weights: &LlamaWeights,
    context_length: u32,
) -> Result<(), LlamaError> {
    if prompt.is_empty() {
        return Err(LlamaError::invalid("prompt", "has no tokens; give some text"));
    }
    if prompt.len() >= context_length as usize {
        return Err(LlamaError::PromptTooLong {
            prompt_tokens: prompt.len() as u64,
            context_length,
        });
    }
    match prompt.iter().find(|&&token| token >= weights.vocabulary_size()) {
        Some(token) => {
            let reason = format!(
                "holds token {token}; the vocabulary ends at {}",
                weights.vocabulary_size()
            );
            Err(LlamaError::invalid("prompt", reason))
        }
        None => Ok(()),
    }
}
