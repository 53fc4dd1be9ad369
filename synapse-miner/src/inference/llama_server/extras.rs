//! What llama-server has beyond OpenAI's API.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use synapse_core::{Error, ErrorKind, Message, Prompt, RenderedPrompt, Request, Task};
use synapse_http::OpenAi;

use super::{LlamaServerModule, discover::read};

/// The longest wait for tokens or a prompt.
const LIMIT: Duration = Duration::from_secs(30);
/// The longest text that is sent for its tokens, in bytes.
const LONGEST: usize = 4 << 20;

pub(super) type Slots = Vec<Slot>;

/// A place in which llama-server works on one request at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Slot {
    /// Counted from 0.
    pub id: u32,
    /// The context of one request there, in tokens.
    #[serde(rename = "n_ctx")]
    pub context_length: u32,
    /// Whether it is taken.
    #[serde(rename = "is_processing")]
    pub busy: bool,
}

#[derive(Deserialize)]
struct Tokens {
    tokens: Vec<u32>,
}

#[derive(Deserialize)]
struct Text {
    content: String,
}

#[derive(Deserialize)]
struct Templated {
    prompt: String,
}

/// Each of these is a request of its own to the server, which answers between two batches; they are for tools and tests, and
/// not a [`Tokenizer`](synapse_core::Tokenizer), whose methods do not wait for a network. A gateway that counts every
/// request's tokens does so with the vocabulary itself.
impl LlamaServerModule {
    /// Its slots, and which of them are taken.
    ///
    /// # Errors
    /// Where it was started with `--no-slots`, or cannot be asked.
    pub async fn slots(&self) -> Result<Vec<Slot>, Error> {
        read(&self.0.http.get("/slots", LIMIT).await?)
    }

    /// The tokens of a text, without special tokens around it and with none in it.
    ///
    /// # Errors
    /// `text_too_long` past 4 MiB; where it cannot be asked.
    pub async fn tokenize(&self, text: &str) -> Result<Vec<u32>, Error> {
        self.tokens(text, false).await
    }

    /// The tokens of a rendered prompt, in which special tokens are written out.
    ///
    /// # Errors
    /// As [`tokenize`](Self::tokenize).
    pub async fn tokenize_prompt(&self, prompt: &str) -> Result<Vec<u32>, Error> {
        self.tokens(prompt, true).await
    }

    /// The text of some tokens.
    ///
    /// # Errors
    /// `unknown_token` where an id is not of the vocabulary; where it cannot be asked.
    pub async fn detokenize(&self, tokens: &[u32]) -> Result<String, Error> {
        let size = self.0.found().and_then(|found| found.vocabulary);
        if let Some(size) = size
            && let Some(unknown) = tokens.iter().find(|token| **token >= size)
        {
            return Err(Error::invalid(
                "unknown_token",
                format!("token {unknown} is not of the vocabulary, which has {size}"),
            ));
        }
        let body = json!({ "tokens": tokens });
        let answer = self.0.http.post("/detokenize", &body, LIMIT).await?;
        Ok(read::<Text>(&answer)?.content)
    }

    /// The prompt that the server makes of a conversation, by its model's template.
    ///
    /// # Errors
    /// Where the template refuses the messages, or the server cannot be asked.
    pub async fn apply_template(
        &self,
        messages: &[Message],
        tools: Option<&Value>,
    ) -> Result<RenderedPrompt, Error> {
        let request = Request::new("", Prompt::Messages(messages.to_vec()));
        let wire = OpenAi::DIALECT.render(&Task::CHAT, &request)?;
        let mut body: Value = serde_json::from_slice(wire.body()).map_err(|error| {
            Error::internal("bad_rendering", "a rendered request is no JSON").with_source(error)
        })?;
        if let Some(tools) = tools {
            body["tools"] = tools.clone();
        }
        let answer = self.0.http.post("/apply-template", &body, LIMIT).await?;
        let version = self.version().unwrap_or_default();
        Ok(RenderedPrompt::new(
            read::<Templated>(&answer)?.prompt,
            format!("llama-server {version}"),
        ))
    }

    async fn tokens(&self, text: &str, special: bool) -> Result<Vec<u32>, Error> {
        if text.len() > LONGEST {
            return Err(Error::new(
                ErrorKind::TooLarge,
                "text_too_long",
                format!(
                    "the text has {} bytes, and {LONGEST} are tokenized at once",
                    text.len()
                ),
            ));
        }
        let body = json!({ "content": text, "add_special": false, "parse_special": special });
        let answer = self.0.http.post("/tokenize", &body, LIMIT).await?;
        Ok(read::<Tokens>(&answer)?.tokens)
    }
}
