//! OpenAI's wire format: chat completions, completions and embeddings.
//!
//! Requests are read without copying: [`Dialect::view`] finds where each known field lies, and reads only what every
//! layer asks for. At the levels that OpenAI defines (the body, `stream_options`, a message, a part of its content) a
//! known key that appears twice or differs from a known key only in case is refused, since parsers further down disagree
//! on which one counts. Schemas, metadata, arguments and unknown fields are nobody's business and travel as they are.
//!
//! Replies come as [`Chunk`](synapse_core::Chunk)s. Those of a module in Rust are written by [`ReplyShape`].

mod block;
mod deltas;
mod error;
mod event;
mod level;
mod params;
mod prompt;
mod render;
mod reply;
mod request;
mod splice;
mod view;

use bytes::Bytes;
use http::HeaderValue;
use synapse_core::{Delta, Dialect, Edits, Error, Event, Framing, Request, Task, View, Wire};

pub(crate) use self::error::read_error;
pub(super) use self::error::verdict;
pub use self::{
    error::{error_body, error_event},
    event::control_event,
    reply::{Encoding, ReplyShape, StreamWriter, WholeWriter},
};

/// OpenAI's wire format.
///
/// ```
/// use http::HeaderValue;
/// use synapse_core::{Input, Task, Wire};
/// use synapse_http::OpenAi;
///
/// let body = r#"{"model":"smollm2","messages":[{"role":"user","content":"hi"}],"max_tokens":16}"#;
/// let json = HeaderValue::from_static("application/json");
/// let mut input = Input::from_wire(Task::CHAT, Wire::new(OpenAi::DIALECT, "/v1/chat/completions", json, body));
/// assert_eq!(input.max_tokens()?, Some(16));
///
/// input.set_max_tokens(8)?;
/// let sent = input.wire_for(OpenAi::DIALECT)?;
/// assert_eq!(sent.body(), &body.replace("16", "8"));
/// # Ok::<(), synapse_core::Error>(())
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct OpenAi;

impl OpenAi {
    /// The dialect, as inputs and chunks refer to it.
    pub const DIALECT: &'static dyn Dialect = &Self;

    /// The path at which OpenAI serves `task`; `None` where it has none that this dialect reads.
    #[must_use]
    pub fn path(task: &Task) -> Option<&'static str> {
        Shape::of(task).ok().map(Shape::path)
    }
}

impl Dialect for OpenAi {
    fn name(&self) -> &'static str {
        "openai"
    }

    fn view(&self, task: &Task, wire: &Wire) -> Result<View, Error> {
        view::view(Shape::of(task)?, wire.body())
    }

    fn request(&self, task: &Task, wire: &Wire, view: &View) -> Result<Request, Error> {
        request::request(Shape::of(task)?, wire.body(), view)
    }

    fn splice(&self, task: &Task, wire: &Wire, view: &View, edits: &Edits) -> Result<Bytes, Error> {
        splice::splice(Shape::of(task)?, wire.body(), view, edits)
    }

    fn render(&'static self, task: &Task, request: &Request) -> Result<Wire, Error> {
        let shape = Shape::of(task)?;
        let body = render::render(shape, request)?;
        let json = HeaderValue::from_static("application/json");
        Ok(Wire::new(self, shape.path(), json, body))
    }

    fn framing(&self, content_type: Option<&HeaderValue>) -> Framing {
        let essence = content_type
            .and_then(|value| value.as_bytes().split(|byte| *byte == b';').next())
            .map(|essence| essence.trim_ascii().to_ascii_lowercase());
        match essence.as_deref() {
            Some(b"text/event-stream") => Framing::Sse,
            Some(b"application/json") => Framing::Whole,
            Some(b"application/x-ndjson") => Framing::Lines,
            _ => Framing::Unframed,
        }
    }

    fn event(&self, raw: &Bytes, framing: Framing) -> Event {
        event::event(raw, framing)
    }

    fn deltas(&self, raw: &[u8], framing: Framing) -> Result<Vec<Delta>, Error> {
        deltas::deltas(raw, framing)
    }
}

/// The three bodies that this dialect knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Chat,
    Completion,
    Embeddings,
}

impl Shape {
    fn of(task: &Task) -> Result<Self, Error> {
        match task.as_str() {
            "chat" => Ok(Self::Chat),
            "text_completion" => Ok(Self::Completion),
            "embeddings" => Ok(Self::Embeddings),
            other => Err(Error::unsupported(
                "task_unsupported",
                format!("OpenAI's format has no request for the task {other}"),
            )),
        }
    }

    const fn path(self) -> &'static str {
        match self {
            Self::Chat => "/v1/chat/completions",
            Self::Completion => "/v1/completions",
            Self::Embeddings => "/v1/embeddings",
        }
    }

    /// The field that holds what is asked.
    const fn prompt(self) -> &'static str {
        match self {
            Self::Chat => "messages",
            Self::Completion => "prompt",
            Self::Embeddings => "input",
        }
    }
}
