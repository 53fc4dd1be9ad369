//! What one event of a reply is.

use std::fmt;

use bytes::Bytes;
use serde::{
    Deserialize,
    de::{Deserializer, IgnoredAny, MapAccess, Visitor},
};
use serde_json::value::RawValue;
use synapse_core::{Error, Event, Framing};

use super::{block::Block, error};

/// The event that ends a stream.
pub(super) const DONE: &str = "[DONE]";
/// What the names of our own events begin with.
const OURS: &str = "synapse.";

pub(super) fn event(raw: &Bytes, framing: Framing) -> Event {
    if framing == Framing::Unframed {
        return Event::Data;
    }
    let Ok(text) = std::str::from_utf8(raw) else {
        return failed("an event of the reply is not UTF-8");
    };
    match framing {
        Framing::Sse => block(&Block::parse(text)),
        _ => document(text, framing == Framing::Whole),
    }
}

/// An event of ours that is not for the client, as it travels between our own nodes. `payload` is text; a line end in it,
/// of whichever kind, arrives as a line feed. Control characters in `name` are left out.
#[must_use]
pub fn control_event(name: &str, payload: &[u8]) -> Bytes {
    let mut event = format!("event: {OURS}").into_bytes();
    event.extend(name.bytes().filter(|byte| !byte.is_ascii_control()));
    event.extend_from_slice(b"\ndata: ");
    let mut rest = payload.iter().copied().peekable();
    while let Some(byte) = rest.next() {
        match byte {
            // CRLF is one line end.
            b'\r' if rest.peek() == Some(&b'\n') => {}
            b'\r' | b'\n' => event.extend_from_slice(b"\ndata: "),
            byte => event.push(byte),
        }
    }
    event.extend_from_slice(b"\n\n");
    event.into()
}

fn block(block: &Block<'_>) -> Event {
    let Some(data) = block.data.as_deref() else {
        return Event::Comment;
    };
    match block.event {
        Some(name) if name.starts_with(OURS) => {
            return Event::Control {
                name: name[OURS.len()..].to_owned(),
                payload: Bytes::copy_from_slice(data.as_bytes()),
            };
        }
        Some("error") => return Event::Failed(error::read_event(data)),
        _ => {}
    }
    match data.trim() {
        DONE => Event::Last,
        // A `data` line without anything is how some servers keep a connection alive.
        "" => Event::Comment,
        json => document(json, false),
    }
}

fn document(json: &str, whole: bool) -> Event {
    match serde_json::from_str(json) {
        Ok(Probe { failed: true, .. }) => Event::Failed(error::read_event(json)),
        Ok(probe) if whole || probe.done => Event::Last,
        Ok(_) => Event::Data,
        Err(_) if whole => Event::Failed(Error::broken("invalid_reply", "the reply is not a JSON object")),
        Err(_) => failed("an event of the reply is not a JSON object"),
    }
}

fn failed(why: &'static str) -> Event {
    Event::Failed(Error::broken("invalid_event", why))
}

/// What must be known of every event: whether it is an error, and (of lines) whether it is the end. The rest is checked
/// and skipped.
#[derive(Default)]
struct Probe {
    failed: bool,
    done: bool,
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "lowercase")]
enum Key {
    Error,
    Done,
    #[serde(other)]
    Other,
}

impl<'de> Deserialize<'de> for Probe {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        json.deserialize_map(Object)
    }
}

struct Object;

impl<'de> Visitor<'de> for Object {
    type Value = Probe;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Probe, A::Error> {
        let mut probe = Probe::default();
        while let Some(key) = map.next_key()? {
            match key {
                Key::Error => probe.failed |= map.next_value::<&RawValue>()?.get() != "null",
                Key::Done => probe.done = map.next_value::<&RawValue>()?.get() == "true",
                Key::Other => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(probe)
    }
}
