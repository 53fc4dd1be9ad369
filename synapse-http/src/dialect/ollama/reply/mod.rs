//! Replies of other formats and of modules in Rust, written as Ollama writes them.

mod clock;
mod logprobs;
mod stream;
mod whole;

use serde::Serialize;
use synapse_core::{Error, Input, ToolCall, View};
use tokio::time::Instant;

use self::clock::{nanoseconds, now};
pub use self::{stream::StreamWriter, whole::WholeWriter};
use super::{
    Shape,
    messages::{Call, Function, arguments},
};

/// How a reply to one request is to look: what [`StreamWriter`] and [`WholeWriter`] are made from.
///
/// ```
/// use http::HeaderValue;
/// use synapse_core::{Delta, FinishReason, Input, Task, Wire};
/// use synapse_http::{Ollama, dialect::ollama::ReplyShape};
///
/// let body = r#"{"model":"smollm2","messages":[{"role":"user","content":"Name a colour."}],"stream":false}"#;
/// let json = HeaderValue::from_static("application/json");
/// let input = Input::from_wire(Task::CHAT, Wire::new(Ollama::DIALECT, "/api/chat", json, body));
/// let mut whole = ReplyShape::of(&input)?.whole();
/// whole.push(&Delta::text("Red"));
/// whole.push(&Delta::finish(FinishReason::Stop));
/// let reply: serde_json::Value = serde_json::from_slice(&whole.finish()?).unwrap();
/// assert_eq!(reply["message"]["content"], "Red");
/// assert_eq!(reply["done_reason"], "stop");
/// # Ok::<(), synapse_core::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct ReplyShape {
    shape: Shape,
    model: String,
    /// How many alternatives a token is shown with; `None` where none are wanted.
    top_logprobs: Option<usize>,
    /// When the request was taken.
    since: Instant,
}

impl ReplyShape {
    /// What `input` asks for. Durations in the reply count from here. Only what the client itself asked for shows:
    /// log-probabilities that a layer [asked for](Input::request_logprobs) stay out of the reply.
    ///
    /// # Errors
    /// Where the input is malformed, or its task has no reply in this dialect.
    pub fn of(input: &Input) -> Result<Self, Error> {
        let shape = match input.wire() {
            Some(wire) => Shape::of(wire.path())?,
            None => Shape::for_task(input.task())?,
        };
        let params = input.params()?;
        // As the client named it, whatever a layer made of that.
        let asked = input.view()?.and_then(View::model);
        Ok(Self {
            shape,
            model: asked.map_or_else(|| input.model(), Ok)?.to_owned(),
            top_logprobs: params.logprobs.then(|| params.top_logprobs.unwrap_or(0).into()),
            since: Instant::now(),
        })
    }

    /// Writes the reply as lines.
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

/// A line of a stream, or a reply to a chat or a prompt that comes at once.
#[derive(Serialize)]
struct Line<'a> {
    model: &'a str,
    created_at: String,
    #[serde(flatten)]
    said: Said<'a>,
    done: bool,
    #[serde(flatten)]
    end: Option<End<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    logprobs: Option<Vec<logprobs::Chosen<'a>>>,
}

/// What a line says: to a chat as a message, to a prompt beside the line's own fields.
#[derive(Serialize)]
#[serde(untagged)]
enum Said<'a> {
    Message { message: Message<'a> },
    Response(Response<'a>),
}

#[derive(Serialize)]
struct Message<'a> {
    role: &'a str,
    content: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    thinking: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<Call<'a>>,
}

#[derive(Serialize)]
struct Response<'a> {
    response: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    thinking: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<Call<'a>>,
}

/// What only the last line says. Durations in nanoseconds, as they look from here.
#[derive(Serialize)]
struct End<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    done_reason: Option<&'a str>,
    total_duration: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt_eval_count: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    eval_count: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    eval_duration: Option<u64>,
}

impl<'a> Said<'a> {
    fn new(shape: Shape, role: &'a str, text: &'a str, thinking: &'a str, tool_calls: Vec<Call<'a>>) -> Self {
        match shape {
            Shape::Chat => Self::Message {
                message: Message {
                    role,
                    content: text,
                    thinking,
                    tool_calls,
                },
            },
            _ => Self::Response(Response {
                response: text,
                thinking,
                tool_calls,
            }),
        }
    }
}

/// Calls as Ollama writes them: whole, with their arguments as an object.
fn calls<'a>(calls: impl Iterator<Item = &'a ToolCall>) -> Result<Vec<Call<'a>>, Error> {
    calls
        .map(|call| {
            let arguments = arguments(&call.arguments).ok_or_else(|| {
                Error::broken(
                    "invalid_arguments",
                    "the model called a tool with arguments that are not a JSON object",
                )
                .with_hint("ask again, or ask in OpenAI's format, which shows what the model wrote")
            })?;
            Ok(Call {
                id: call.id.as_deref(),
                function: Function {
                    index: call.index,
                    name: call.name.as_deref().unwrap_or_default(),
                    arguments,
                },
            })
        })
        .collect()
}

/// Why a reply ended, in Ollama's words: one that calls tools stops.
fn done_reason(reason: Option<&synapse_core::FinishReason>) -> Option<&str> {
    reason.map(|reason| match reason {
        synapse_core::FinishReason::ToolCalls => "stop",
        reason => reason.as_str(),
    })
}

/// `value` as JSON; these types have nothing that JSON cannot say.
fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("strings and numbers are always valid JSON")
}
