//! Ollama's wire format.

use bytes::Bytes;
use http::HeaderValue;
use synapse_core::{Delta, Dialect, Edits, Error, Event, Framing, Request, Task, View, Wire};

/// Ollama's wire format.
#[derive(Debug, Clone, Copy, Default)]
pub struct Ollama;

impl Ollama {
    /// The dialect, as inputs and chunks refer to it.
    pub const DIALECT: &'static dyn Dialect = &Self;
}

fn not_yet() -> Error {
    Error::unsupported("not_yet", "this is not written yet")
}

impl Dialect for Ollama {
    fn name(&self) -> &'static str {
        "ollama"
    }

    fn view(&self, _: &Task, _: &Wire) -> Result<View, Error> {
        Err(not_yet())
    }

    fn request(&self, _: &Task, _: &Wire, _: &View) -> Result<Request, Error> {
        Err(not_yet())
    }

    fn splice(&self, _: &Task, _: &Wire, _: &View, _: &Edits) -> Result<Bytes, Error> {
        Err(not_yet())
    }

    fn render(&'static self, _: &Task, _: &Request) -> Result<Wire, Error> {
        Err(not_yet())
    }

    fn framing(&self, _: Option<&HeaderValue>) -> Framing {
        Framing::Lines
    }

    fn event(&self, _: &Bytes, _: Framing) -> Event {
        Event::Data
    }

    fn deltas(&self, _: &[u8], _: Framing) -> Result<Vec<Delta>, Error> {
        Err(not_yet())
    }
}
