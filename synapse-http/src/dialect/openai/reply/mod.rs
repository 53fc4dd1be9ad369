//! Replies of modules in Rust, written as OpenAI writes them.

mod logprobs;
mod stream;
mod whole;

use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;
use synapse_core::{Error, Input, Task, Usage};

pub use self::{stream::StreamWriter, whole::WholeWriter};
use super::Shape;
use crate::dialect::body;

/// How a reply to one request is to look: what [`StreamWriter`] and [`WholeWriter`] are made from.
///
/// ```
/// use synapse_core::{Delta, FinishReason, Input, Message};
/// use synapse_http::dialect::openai::ReplyShape;
///
/// let input = Input::chat("smollm2", [Message::user("Name a colour.")]);
/// let mut whole = ReplyShape::of(&input, "42")?.whole();
/// whole.push(&Delta::text("Red"));
/// whole.push(&Delta::finish(FinishReason::Stop));
/// let reply: serde_json::Value = serde_json::from_slice(&whole.finish()).unwrap();
/// assert_eq!(reply["id"], "chatcmpl-42");
/// assert_eq!(reply["choices"][0]["message"]["content"], "Red");
/// # Ok::<(), synapse_core::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct ReplyShape {
    shape: Shape,
    id: String,
    created: u64,
    model: String,
    /// How many alternatives a token is shown with; `None` where none are wanted.
    top_logprobs: Option<usize>,
    include_usage: bool,
    encoding: Encoding,
}

/// How an embedding's numbers are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Encoding {
    /// As a JSON array.
    #[default]
    Float,
    /// As base64 of little-endian 32-bit floats, which is what OpenAI's own clients ask for.
    Base64,
}

impl ReplyShape {
    /// What `input` asks for; `id` is the request's, without a prefix. Only what the client itself asked for shows:
    /// log-probabilities that a layer [asked for](Input::request_logprobs) stay out of the reply.
    ///
    /// # Errors
    /// Where the input is malformed, or its task has no reply in this dialect.
    pub fn of(input: &Input, id: &str) -> Result<Self, Error> {
        let shape = Shape::of(input.task())?;
        let params = input.params()?;
        let prefix = match shape {
            Shape::Chat => "chatcmpl-",
            Shape::Completion => "cmpl-",
            Shape::Embeddings => "embd-",
        };
        Ok(Self {
            shape,
            id: format!("{prefix}{id}"),
            created: SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |since| since.as_secs()),
            model: input.model()?.to_owned(),
            top_logprobs: params.logprobs.then(|| params.top_logprobs.unwrap_or(0).into()),
            include_usage: params.include_usage,
            encoding: Encoding::of(input)?,
        })
    }

    /// The same, made at another second since 1970.
    #[must_use]
    pub fn with_created(mut self, created: u64) -> Self {
        self.created = created;
        self
    }

    /// The same, naming another model.
    #[must_use]
    pub fn with_model(mut self, model: impl Into<String>) -> Self {
        self.model = model.into();
        self
    }

    /// Writes the reply as a stream of events.
    #[must_use]
    pub fn stream(self) -> StreamWriter {
        StreamWriter::new(self)
    }

    /// Writes the reply as one document.
    #[must_use]
    pub fn whole(self) -> WholeWriter {
        WholeWriter::new(self)
    }
}

impl Encoding {
    fn of(input: &Input) -> Result<Self, Error> {
        let base64 = match input.wire() {
            Some(wire) if *input.task() == Task::EMBEDDINGS => input
                .view()?
                .and_then(|view| wire.body().get(view.field("encoding_format")?))
                .and_then(|raw| body::string(std::str::from_utf8(raw).ok()?).ok())
                .is_some_and(|name| name == "base64"),
            Some(_) => false,
            None => input
                .request()?
                .other
                .get("encoding_format")
                .is_some_and(|name| name == "base64"),
        };
        Ok(if base64 { Self::Base64 } else { Self::Float })
    }
}

#[derive(Debug, Clone, Copy, Serialize)]
struct Counted {
    prompt_tokens: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    completion_tokens: Option<u64>,
    total_tokens: u64,
}

impl Counted {
    fn new(shape: Shape, usage: Usage) -> Self {
        Self {
            prompt_tokens: usage.input_tokens,
            completion_tokens: (shape != Shape::Embeddings).then_some(usage.output_tokens),
            total_tokens: usage.total(),
        }
    }
}

#[derive(Debug, Serialize)]
struct Call<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    r#type: Option<&'static str>,
    function: Function<'a>,
}

#[derive(Debug, Serialize)]
struct Function<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    arguments: &'a str,
}

/// `value` as JSON; these types have nothing that JSON cannot say.
fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("strings and numbers are always valid JSON")
}
