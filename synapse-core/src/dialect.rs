//! What a wire format must tell core, so that modules need to know none.

use std::fmt;

use bytes::Bytes;
use http::HeaderValue;

use crate::{Delta, Edits, Error, Request, Task, View, Wire};

/// A wire format of requests and replies, such as OpenAI's.
///
/// Core knows no format itself. A dialect is a stateless value with a `'static` life; every [`Wire`] names its own.
/// Requests: [`view`](Dialect::view) finds what layers ask for without copying the body, [`splice`](Dialect::splice)
/// applies what they changed, [`request`](Dialect::request) reads it whole, [`render`](Dialect::render) writes one
/// from scratch. Replies: [`framing`](Dialect::framing) cuts a stream into events, [`event`](Dialect::event) says what
/// one is, [`deltas`](Dialect::deltas) reads it.
pub trait Dialect: fmt::Debug + Send + Sync + 'static {
    /// The dialect's name, as in [`ModuleCapabilities::dialects`](crate::ModuleCapabilities): `openai`.
    fn name(&self) -> &'static str;

    /// Finds what the dialect defines in a request.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) where the body is malformed, a known field has the wrong type
    /// or range, or a known key appears twice or in another case.
    fn view(&self, task: &Task, wire: &Wire) -> Result<View, Error>;

    /// Reads a request whole.
    ///
    /// # Errors
    /// As [`view`](Dialect::view), and for messages or inputs of a wrong shape.
    fn request(&self, task: &Task, wire: &Wire, view: &View) -> Result<Request, Error>;

    /// The body with `edits` applied, every other byte as it was.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) for an edit that the dialect cannot express.
    fn splice(&self, task: &Task, wire: &Wire, view: &View, edits: &Edits) -> Result<Bytes, Error>;

    /// Writes a request in this dialect.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) for a task or a field that the dialect cannot express.
    fn render(&'static self, task: &Task, request: &Request) -> Result<Wire, Error>;

    /// How a reply of this content type is cut into events.
    fn framing(&self, content_type: Option<&HeaderValue>) -> Framing;

    /// What one event of a reply is; `raw` is the whole event with its terminator.
    fn event(&self, raw: &Bytes, framing: Framing) -> Event;

    /// Reads what an event, or a whole reply, says: one [`Delta`] a choice.
    ///
    /// # Errors
    /// [`ErrorKind::Broken`](crate::ErrorKind::Broken) where the bytes are not what the dialect allows.
    fn deltas(&self, raw: &[u8], framing: Framing) -> Result<Vec<Delta>, Error>;
}

/// How a reply's bytes are cut into events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Framing {
    /// Server-sent events: blocks that end at a blank line.
    Sse,
    /// One JSON document a line.
    Lines,
    /// The reply is one event.
    Whole,
    /// Bytes without events: any run of them is a chunk.
    Unframed,
}

/// What one event of a reply is.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Event {
    /// Content for the client.
    Data,
    /// The event that makes the reply complete, such as `[DONE]`.
    Last,
    /// Not for the client: see [`Chunk::control`](crate::Chunk::control).
    Control {
        /// What it is.
        name: String,
        /// What it carries.
        payload: Bytes,
    },
    /// Nothing but a sign of life: a comment.
    Comment,
    /// The server says that the reply failed.
    Failed(Error),
}
