//! What one line of a reply, or a whole one, is.

use std::fmt;

use bytes::Bytes;
use serde::{
    Deserialize,
    de::{Deserializer, IgnoredAny, MapAccess, Visitor},
};
use serde_json::{json, value::RawValue};
use synapse_core::{Error, Event, Framing};

use crate::{client::Upstream, dialect::read_error};

pub(super) fn event(raw: &Bytes, framing: Framing) -> Event {
    if framing == Framing::Unframed {
        return Event::Data;
    }
    let whole = framing == Framing::Whole;
    match serde_json::from_slice::<Probe<'_>>(raw) {
        Ok(probe) if probe.failed => Event::Failed(failure(raw)),
        Ok(Probe {
            synapse: Some(ours), ..
        }) if !whole => control(ours).unwrap_or(Event::Comment),
        Ok(probe) if whole || probe.done => Event::Last,
        Ok(_) => Event::Data,
        Err(_) if whole => Event::Failed(Error::broken("invalid_reply", "the reply is not a JSON object")),
        Err(_) => Event::Failed(Error::broken(
            "invalid_event",
            "a line of the reply is not a JSON object",
        )),
    }
}

/// A line of ours that is not for the client, as it travels between our own nodes. `payload` is text.
#[must_use]
pub fn control_line(name: &str, payload: &[u8]) -> Bytes {
    let payload = String::from_utf8_lossy(payload);
    let mut line = json!({"synapse": {"control": name, "payload": payload}}).to_string();
    line.push('\n');
    line.into()
}

fn failure(raw: &[u8]) -> Error {
    read_error(raw, &Upstream::default())
        .unwrap_or_else(|| Error::broken("upstream_failed", "the endpoint failed"))
}

#[derive(Deserialize)]
struct Control {
    control: String,
    payload: String,
}

fn control(ours: &str) -> Option<Event> {
    let ours: Control = serde_json::from_str(ours).ok()?;
    Some(Event::Control {
        name: ours.control,
        payload: ours.payload.into(),
    })
}

/// What must be known of every line: whether it is an error, ours, or the end. The rest is checked and skipped.
#[derive(Default)]
struct Probe<'a> {
    failed: bool,
    done: bool,
    synapse: Option<&'a str>,
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "lowercase")]
enum Key {
    Error,
    Done,
    Synapse,
    #[serde(other)]
    Other,
}

impl<'de> Deserialize<'de> for Probe<'de> {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        json.deserialize_map(Object)
    }
}

struct Object;

impl<'de> Visitor<'de> for Object {
    type Value = Probe<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Probe<'de>, A::Error> {
        let mut probe = Probe::default();
        while let Some(key) = map.next_key()? {
            match key {
                Key::Error => probe.failed = !matches!(map.next_value::<&RawValue>()?.get(), "null" | "\"\""),
                Key::Done => probe.done = map.next_value::<&RawValue>()?.get() == "true",
                Key::Synapse => probe.synapse = Some(map.next_value::<&RawValue>()?.get()),
                Key::Other => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(probe)
    }
}
