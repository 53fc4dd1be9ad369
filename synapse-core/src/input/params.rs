//! Sampling, limits and streaming: what every dialect of text generation says in its own words.

/// Sampling, limits and streaming. `None` is 'the model's own default'.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Params {
    /// Most tokens that the reply may have.
    pub max_tokens: Option<u32>,
    /// Softmax temperature, ≥ 0; 0 takes the likeliest token.
    pub temperature: Option<f32>,
    /// Nucleus: sample from the smallest set of tokens with this total probability, (0, 1].
    pub top_p: Option<f32>,
    /// Sample from this many likeliest tokens.
    pub top_k: Option<u32>,
    /// Drop tokens less likely than this share of the likeliest, [0, 1].
    pub min_p: Option<f32>,
    /// Penalty on tokens that appeared, [-2, 2].
    pub presence_penalty: Option<f32>,
    /// Penalty on tokens by how often they appeared, [-2, 2].
    pub frequency_penalty: Option<f32>,
    /// Where the sampler's randomness starts.
    pub seed: Option<i64>,
    /// Texts that end the reply and are not part of it.
    pub stop: Vec<String>,
    /// How many replies to write.
    pub n: u32,
    /// Whether to send log-probabilities of the chosen tokens.
    pub logprobs: bool,
    /// How many likeliest alternatives to send with each token.
    pub top_logprobs: Option<u8>,
    /// Whether the reply comes as a stream of events.
    pub stream: bool,
    /// Whether a stream ends with an event that counts its tokens.
    pub include_usage: bool,
}

impl Default for Params {
    fn default() -> Self {
        Self {
            max_tokens: None,
            temperature: None,
            top_p: None,
            top_k: None,
            min_p: None,
            presence_penalty: None,
            frequency_penalty: None,
            seed: None,
            stop: Vec::new(),
            n: 1,
            logprobs: false,
            top_logprobs: None,
            stream: false,
            include_usage: false,
        }
    }
}
