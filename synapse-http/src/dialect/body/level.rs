//! The levels of a body that a dialect defines, and the keys known at each.

use std::{borrow::Cow, fmt};

use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use synapse_core::Error;

use super::{Field, json};

/// An object at a level that a dialect defines: where it lies in the body, and which keys it knows.
#[derive(Debug, Clone, Copy)]
pub(in crate::dialect) struct Level {
    known: &'static [&'static str],
    place: Place,
}

#[derive(Debug, Clone, Copy)]
enum Place {
    Body,
    Within(&'static str),
    Message(usize),
    InMessage(usize, &'static str, usize),
    InCall(usize, usize),
}

impl Level {
    /// The body itself.
    pub(in crate::dialect) fn body(known: &'static [&'static str]) -> Self {
        Self {
            known,
            place: Place::Body,
        }
    }

    /// The object that the body's field `name` holds.
    pub(in crate::dialect) fn within(name: &'static str, known: &'static [&'static str]) -> Self {
        Self {
            known,
            place: Place::Within(name),
        }
    }

    /// A message by its number.
    pub(in crate::dialect) fn message(index: usize, known: &'static [&'static str]) -> Self {
        Self {
            known,
            place: Place::Message(index),
        }
    }

    /// An element of what the field `name` of a message lists.
    pub(in crate::dialect) fn in_message(
        message: usize,
        name: &'static str,
        index: usize,
        known: &'static [&'static str],
    ) -> Self {
        Self {
            known,
            place: Place::InMessage(message, name, index),
        }
    }

    /// The function of a call that a message makes.
    pub(in crate::dialect) fn in_call(message: usize, call: usize, known: &'static [&'static str]) -> Self {
        Self {
            known,
            place: Place::InCall(message, call),
        }
    }

    /// A field of this level as errors name it: `messages[2].role`.
    pub(in crate::dialect) fn path(self, name: &str) -> String {
        match self.place {
            Place::Body => name.to_owned(),
            Place::Within(outer) => format!("{outer}.{name}"),
            Place::Message(message) => format!("messages[{message}].{name}"),
            Place::InMessage(message, list, index) => format!("messages[{message}].{list}[{index}].{name}"),
            Place::InCall(message, call) => format!("messages[{message}].tool_calls[{call}].function.{name}"),
        }
    }

    /// Puts the known fields of the object `text` into `found`, in their order, skipping the rest unread.
    pub(in crate::dialect) fn read<'a>(self, text: &'a str, found: &mut Vec<Field<'a>>) -> Result<(), Error> {
        let mut fault = None;
        let mut json = serde_json::Deserializer::from_str(text);
        let keys = Keys {
            level: self,
            found,
            fault: &mut fault,
        };
        json.deserialize_map(keys)
            .and_then(|()| json.end())
            .map_err(json::invalid)?;
        fault.map_or(Ok(()), Err)
    }
}

/// Calls `each` with the elements of the array `text`.
pub(in crate::dialect) fn elements<'a>(
    text: &'a str,
    each: impl FnMut(usize, &'a str) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut fault = None;
    let read = serde_json::Deserializer::from_str(text).deserialize_seq(Elements {
        each,
        fault: &mut fault,
    });
    fault.map_or(read.map_err(json::invalid), Err)
}

/// Reads an object; a fault waits until the JSON itself proved to be valid.
struct Keys<'f, 'a> {
    level: Level,
    found: &'f mut Vec<Field<'a>>,
    fault: &'f mut Option<Error>,
}

impl<'a> Keys<'_, 'a> {
    /// The known name that `key` is, the first time that it comes.
    fn known(&mut self, key: &str) -> Option<&'static str> {
        let names = self.level.known;
        if let Some(name) = names.iter().find(|name| **name == key) {
            if self.found.iter().all(|field| field.name != *name) {
                return Some(name);
            }
            let path = self.level.path(name);
            let message = format!("{path} appears twice");
            self.refuse("duplicate_field", message, path, "send it once");
        } else if let Some(name) = names.iter().find(|name| equal_folded(name, key)) {
            let path = self.level.path(name);
            let message = format!("{} differs from {name} only in case", self.level.path(key));
            self.refuse("miscased_field", message, path, "write it in lower case");
        }
        None
    }

    fn refuse(&mut self, code: &'static str, message: String, path: String, hint: &'static str) {
        self.fault
            .get_or_insert_with(|| Error::invalid(code, message).with_param(path).with_hint(hint));
    }
}

impl<'a> Visitor<'a> for Keys<'_, 'a> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'a>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key_seed(Key)? {
            match self.known(&key) {
                Some(name) => {
                    let raw: &RawValue = map.next_value()?;
                    self.found.push(Field {
                        level: self.level,
                        name,
                        raw: raw.get(),
                    });
                }
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}

/// A key, borrowed unless it is escaped.
struct Key;

impl<'a> DeserializeSeed<'a> for Key {
    type Value = Cow<'a, str>;

    fn deserialize<D: Deserializer<'a>>(self, json: D) -> Result<Self::Value, D::Error> {
        json.deserialize_str(self)
    }
}

impl<'a> Visitor<'a> for Key {
    type Value = Cow<'a, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_borrowed_str<E>(self, key: &'a str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(key))
    }

    fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(key.to_owned()))
    }
}

struct Elements<'f, F> {
    each: F,
    fault: &'f mut Option<Error>,
}

impl<'a, F: FnMut(usize, &'a str) -> Result<(), Error>> Visitor<'a> for Elements<'_, F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'a>>(mut self, mut seq: A) -> Result<(), A::Error> {
        let mut index = 0;
        while let Some(raw) = seq.next_element::<&RawValue>()? {
            if let Err(fault) = (self.each)(index, raw.get()) {
                *self.fault = Some(fault);
                return Err(A::Error::custom("refused"));
            }
            index += 1;
        }
        Ok(())
    }
}

/// Whether two keys are one to a decoder that ignores case, as Go's does: it folds `ſ` to `s` and the Kelvin sign to `k` too.
fn equal_folded(known: &str, key: &str) -> bool {
    if key.is_ascii() {
        return known.eq_ignore_ascii_case(key);
    }
    let fold = |char: char| match char {
        'ſ' => 's',
        '\u{212a}' => 'k',
        other => other.to_ascii_lowercase(),
    };
    known.chars().eq(key.chars().map(fold))
}
