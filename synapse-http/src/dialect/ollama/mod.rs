//! Ollama's wire format: `/api/chat`, `/api/generate`, `/api/embed` and the older `/api/embeddings`.
//!
//! Requests are read as [OpenAI's](super::openai) are: without copying, known keys once and in their own case (Go's decoder
//! reads `MODEL` too), bounded in depth. Which body it is, its path says. `/api/generate` is a conversation of one message,
//! [`Task::CHAT`]; with `raw: true` or a `suffix` it is [`Task::TEXT_COMPLETION`]. Where an endpoint takes Ollama's format a
//! request is passed on as it came; where it does not, it is rendered as OpenAI's, and its reply as Ollama's.
//!
//! # What both formats say
//! | Ollama | OpenAI |
//! | --- | --- |
//! | `model`, `messages`, `prompt`, `input`, `dimensions`, `suffix` | the same; several prompts in one request only OpenAI |
//! | `stream`, true unless said | `stream`, false unless said |
//! | counts in the last line | `stream_options.include_usage` |
//! | `options.num_predict`; 0 and less is no cap | `max_tokens` |
//! | `options.{temperature, top_p, top_k, min_p, presence_penalty, frequency_penalty, seed, stop}` | the same without `options` |
//! | `options.repeat_penalty` | `repetition_penalty` and `repeat_penalty`, as compatible engines name it |
//! | `logprobs`, `top_logprobs` | the same; of a completion `logprobs: n` |
//! | `format: "json"`, `format: {schema}` | `response_format` of `json_object`, `json_schema` |
//! | `think: false`, `true`, a level | `reasoning_effort` of `none`, `medium`, the level |
//! | `thinking` of a message | `reasoning_content`, `reasoning` |
//! | `images`, base64 | `image_url` with a data URL; which of text and images came first is lost |
//! | `tools` | `tools`; Ollama does not enforce `strict` |
//! | `tool_calls`, arguments an object, an id perhaps | `tool_calls`, arguments a JSON text, an id always |
//! | `tool_name`, `tool_call_id` of a result | `name`, `tool_call_id`; a result without an id goes to the first open call of its tool |
//! | `system` of a prompt | a message of the role `system` |
//! | `done_reason` | `finish_reason`; `tool_calls` is `stop` |
//! | `prompt_eval_count`, `eval_count` | `usage` |
//!
//! # What one of them cannot say
//! The error is `field_unsupported` (400, [`Unsupported`](synapse_core::ErrorKind::Unsupported)) with the field in `param`,
//! unless the table names another.
//!
//! | field | becomes |
//! | --- | --- |
//! | OpenAI's `n` > 1, `best_of` > 1, `logit_bias`, `tool_choice` but `auto` and `none`, `parallel_tool_calls: false`, `echo`, `functions`, `function_call`, `audio`, `modalities` beyond text, `verbosity`, `web_search_options`, a message's `name` but a tool's, unknown fields | an error towards an engine that speaks only Ollama's format |
//! | an image at an address; audio and files; token ids | the errors `remote_image`; `content_unsupported`; `prompt_unsupported` |
//! | OpenAI's `user`, `metadata`, `store`, `service_tier`, `safety_identifier`, `prompt_cache_key`, `prediction` | left out: the reply is the same |
//! | Ollama's other `options` (`mirostat`, `typical_p`, `repeat_last_n`, `num_keep`), `width`, `height`, `steps`, unknown fields | an error towards an engine that speaks only OpenAI's format |
//! | `options.{num_ctx, num_batch, num_gpu, main_gpu, use_mmap, num_thread, draft_num_predict}`, `truncate`, `shift` | left out there: the engine's own context counts, and a prompt that does not fit is refused, not cut |
//! | `template`, a `context` of tokens, `_debug_render_only` | an error everywhere: nobody on the way could count or check such a prompt |
//! | an empty prompt or list of messages, which loads or unloads a model | the errors `empty_prompt`, `empty_messages` |
//! | `keep_alive` | [not passed on](Ollama::without_keep_alive) by routers: what stays loaded is the operator's business |
//!
//! In a [`Request`] what both say is in OpenAI's words, and what only Ollama says is under `ollama` in
//! [`other`](Request::other): a module in Rust may set `{"options": {"num_ctx": 8192}}` there.
//!
//! # Replies
//! A stream is `application/x-ndjson`, one object a line, the last one with `"done":true`; one that breaks off ends with a
//! line `{"error": …}`. A silent stream is kept alive with a space now and then, before the next line: Ollama's clients parse
//! every line, a blank one too, and none of them minds a space before an object. What is not for clients travels between
//! our own nodes as a line `{"synapse": {"control": …, "payload": …}}`.

mod deltas;
mod error;
mod event;
mod image;
mod level;
mod messages;
mod prompt;
mod render;
mod reply;
mod request;
mod splice;
mod translated;
mod view;

use bytes::Bytes;
use http::HeaderValue;
use synapse_core::{Delta, Dialect, Edits, Error, Event, Framing, Input, Output, Request, Task, View, Wire};

pub(super) use self::request::{APART, path};
pub use self::{
    error::{error_body, error_line},
    event::control_line,
    reply::{ReplyShape, StreamWriter, WholeWriter},
};
use super::openai::OpenAi;

/// Ollama's wire format.
///
/// ```
/// use http::HeaderValue;
/// use synapse_core::{Input, Task, Wire};
/// use synapse_http::{Ollama, OpenAi};
///
/// let body = r#"{"model":"smollm2","messages":[{"role":"user","content":"hi"}],"options":{"num_predict":16}}"#;
/// let json = HeaderValue::from_static("application/json");
/// let input = Input::from_wire(Task::CHAT, Wire::new(Ollama::DIALECT, "/api/chat", json, body));
/// assert_eq!((input.max_tokens()?, input.wants_stream()?), (Some(16), true));
///
/// let sent = input.wire_for(OpenAi::DIALECT)?;
/// assert_eq!(sent.path(), "/v1/chat/completions");
/// # Ok::<(), synapse_core::Error>(())
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct Ollama;

impl Ollama {
    /// The dialect, as inputs and chunks refer to it.
    pub const DIALECT: &'static dyn Dialect = &Self;

    /// What a request to `path` with this body asks for.
    ///
    /// # Errors
    /// Where the path is none of Ollama's for inference, or the body is not an object whose known keys come once.
    pub fn task(path: &str, body: &[u8]) -> Result<Task, Error> {
        view::task(Shape::of(path)?, body)
    }

    /// The request without its wish how long the model stays loaded, which is not a caller's to say: `null` stands in its
    /// place. `None` where it has no such wish, or is not in this dialect.
    ///
    /// # Errors
    /// Where the body is malformed.
    pub fn without_keep_alive(input: &Input) -> Result<Option<Wire>, Error> {
        let (Some(wire), Some(view)) = (input.wire(), input.view()?) else {
            return Ok(None);
        };
        if wire.dialect().name() != Self.name() {
            return Ok(None);
        }
        let body = splice::without_keep_alive(wire.body(), view)?;
        Ok(body.map(|body| wire.with_body(body)))
    }

    /// A reply in this dialect as deltas of none, which a router writes in the caller's. They say what OpenAI's would: calls
    /// of tools have numbers and ids, and a reply that has some ends with
    /// [`ToolCalls`](synapse_core::FinishReason::ToolCalls).
    #[must_use]
    pub fn into_deltas(output: Output) -> Output {
        translated::into_deltas(output)
    }
}

impl Dialect for Ollama {
    fn name(&self) -> &'static str {
        "ollama"
    }

    fn view(&self, task: &Task, wire: &Wire) -> Result<View, Error> {
        view::view(Shape::of(wire.path())?, task, wire.body())
    }

    fn request(&self, _: &Task, wire: &Wire, view: &View) -> Result<Request, Error> {
        request::request(Shape::of(wire.path())?, wire.body(), view)
    }

    fn splice(&self, _: &Task, wire: &Wire, view: &View, edits: &Edits) -> Result<Bytes, Error> {
        splice::splice(Shape::of(wire.path())?, wire.body(), view, edits)
    }

    fn render(&'static self, task: &Task, request: &Request) -> Result<Wire, Error> {
        let (shape, body) = render::render(task, request)?;
        let json = HeaderValue::from_static("application/json");
        Ok(Wire::new(self, shape.path(), json, body))
    }

    fn framing(&self, content_type: Option<&HeaderValue>) -> Framing {
        match OpenAi.framing(content_type) {
            Framing::Sse => Framing::Unframed,
            framing => framing,
        }
    }

    fn event(&self, raw: &Bytes, framing: Framing) -> Event {
        event::event(raw, framing)
    }

    fn deltas(&self, raw: &[u8], framing: Framing) -> Result<Vec<Delta>, Error> {
        deltas::deltas(raw, framing)
    }
}

/// The bodies that this dialect knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Chat,
    Generate,
    Embed,
    Embedding,
}

impl Shape {
    const ALL: [Self; 4] = [Self::Chat, Self::Generate, Self::Embed, Self::Embedding];

    /// By the path of a request, whose query says nothing.
    fn of(path: &str) -> Result<Self, Error> {
        let path = path.split('?').next().unwrap_or_default();
        Self::ALL
            .into_iter()
            .find(|shape| shape.path() == path)
            .ok_or_else(|| {
                let shown: String = path.chars().take(128).collect();
                Error::unsupported(
                    "path_unsupported",
                    format!("Ollama's format has no request for {shown}"),
                )
            })
    }

    fn for_task(task: &Task) -> Result<Self, Error> {
        match task.as_str() {
            "chat" => Ok(Self::Chat),
            "text_completion" => Ok(Self::Generate),
            "embeddings" => Ok(Self::Embed),
            other => Err(Error::unsupported(
                "task_unsupported",
                format!("Ollama's format has no request for the task {other}"),
            )),
        }
    }

    const fn path(self) -> &'static str {
        match self {
            Self::Chat => "/api/chat",
            Self::Generate => "/api/generate",
            Self::Embed => "/api/embed",
            Self::Embedding => "/api/embeddings",
        }
    }

    /// The field that holds what is asked.
    const fn prompt(self) -> &'static str {
        match self {
            Self::Chat => "messages",
            Self::Generate | Self::Embedding => "prompt",
            Self::Embed => "input",
        }
    }

    /// Whether vectors are the answer, and not text.
    const fn is_vectors(self) -> bool {
        matches!(self, Self::Embed | Self::Embedding)
    }
}

/// The error of a field that Ollama's format has no word for.
fn unsaid(path: impl Into<String>) -> Error {
    let path = path.into();
    Error::unsupported(
        "field_unsupported",
        format!("{path} cannot be said in Ollama's format"),
    )
    .with_param(path)
    .with_hint("leave it out, or ask an engine that speaks OpenAI's format")
}
