//! What vLLM has beyond OpenAI's API.

use std::time::Duration;

use serde::Deserialize;
use serde_json::json;
use synapse_core::Error;

use super::{VllmModule, discover::read};

/// The longest wait for tokens.
const LIMIT: Duration = Duration::from_secs(30);

#[derive(Deserialize)]
struct Tokens {
    tokens: Vec<u32>,
}

#[derive(Deserialize)]
struct Text {
    prompt: String,
}

impl VllmModule {
    /// The tokens of a text by `model`'s vocabulary, without special tokens around it.
    ///
    /// # Errors
    /// Where it does not serve the model, or cannot be asked.
    pub async fn tokenize(&self, model: &str, text: &str) -> Result<Vec<u32>, Error> {
        let body = json!({ "model": model, "prompt": text, "add_special_tokens": false });
        let answer = self.0.http.post("/tokenize", &body, LIMIT).await?;
        Ok(read::<Tokens>(&answer)?.tokens)
    }

    /// The text of some tokens.
    ///
    /// # Errors
    /// As [`tokenize`](Self::tokenize).
    pub async fn detokenize(&self, model: &str, tokens: &[u32]) -> Result<String, Error> {
        let body = json!({ "model": model, "tokens": tokens });
        let answer = self.0.http.post("/detokenize", &body, LIMIT).await?;
        Ok(read::<Text>(&answer)?.prompt)
    }
}
