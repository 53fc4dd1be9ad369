//! What of a request no engine is handed: addresses that it would fetch from the operator's own network, and fields by which a
//! caller would reach past his own request.

use std::{
    borrow::Cow,
    fmt::{self, Display},
};

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;
use synapse_core::{Error, Wire};

/// Keys of a part that hold words, whatever they begin with.
const WORDS: [&str; 4] = ["text", "refusal", "thinking", "reasoning"];

/// A field of an engine's own that does not travel as it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reserved {
    pub(crate) name: &'static str,
    pub(crate) why: Why,
}

/// Why it does not.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Why {
    /// It is refused: it does this. What to send instead.
    Never(&'static str, &'static str),
    /// It is a whole number, and this is the most.
    AtMost(u8),
}

/// Refuses of a request in OpenAI's format what `reserved` says, and every part of a message that names an address instead of holding its data. The body is
/// passed over once, and only its parts are looked into.
///
/// # Errors
/// `remote_media`, `field_unsupported` and `out_of_range`, each with the field's path; where the body is no JSON.
pub(crate) fn check(wire: &Wire, reserved: &[Reserved]) -> Result<(), Error> {
    if !wire.is_json() {
        return Ok(());
    }
    let mut found = None;
    let body = Body {
        reserved,
        found: &mut found,
    };
    let mut reader = serde_json::Deserializer::from_slice(wire.body());
    let passed = body.deserialize(&mut reader);
    match (found, passed) {
        (Some(error), _) => Err(error),
        (None, Err(error)) => Err(Error::invalid(
            "invalid_json",
            format!("the body is not valid JSON: {error}"),
        )
        .with_hint("send one JSON object")
        .with_source(error)),
        (None, Ok(())) => Ok(()),
    }
}

/// A media part whose data is elsewhere.
fn remote(path: &str) -> Error {
    Error::invalid(
        "remote_media",
        format!("{path} names an address, and this miner's engine fetches nothing for its callers"),
    )
    .with_param(path.to_owned())
    .with_hint("send the data itself, such as data:image/png;base64,…")
}

impl Reserved {
    fn check(&self, value: &str) -> Result<(), Error> {
        let name = self.name;
        match self.why {
            _ if value == "null" => Ok(()),
            Why::Never(what, instead) => Err(Error::unsupported(
                "field_unsupported",
                format!("{name} {what}, and is no caller's to set"),
            )
            .with_param(name)
            .with_hint(instead)),
            Why::AtMost(most) => match value.parse::<u8>() {
                Ok(asked) if asked <= most => Ok(()),
                _ => Err(Error::invalid(
                    "out_of_range",
                    format!(
                        "{name} is not within a miner's bounds: a whole number from 0 to {most} is wanted"
                    ),
                )
                .with_param(name)),
            },
        }
    }
}

/// As a row of the book's page.
impl Display for Reserved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name;
        match self.why {
            Why::Never(what, instead) => {
                write!(
                    f,
                    "| `{name}` | refused with `field_unsupported`: it {what}; {instead} |"
                )
            }
            Why::AtMost(most) => write!(
                f,
                "| `{name}` | {most} at most, as `top_logprobs`; else `out_of_range` |"
            ),
        }
    }
}

/// The levels of a body above its parts; the first thing that is wrong ends all of it.
struct Body<'a> {
    reserved: &'a [Reserved],
    found: &'a mut Option<Error>,
}

struct Messages<'a>(&'a mut Option<Error>);

struct Message<'a> {
    index: usize,
    found: &'a mut Option<Error>,
}

struct Content<'a> {
    message: usize,
    found: &'a mut Option<Error>,
}

/// A value within a part.
struct Media<'a> {
    path: &'a str,
    /// Whether it is the part itself.
    is_part: bool,
    hold: Hold,
    found: &'a mut Option<Error>,
}

/// What a value may be.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Hold {
    /// Anything.
    Words,
    /// Anything but an address.
    Data,
    /// Nothing but a `data:` URL.
    Url,
}

/// A key, borrowed where nothing in it is escaped.
#[derive(Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

impl Hold {
    fn of(key: &str, is_part: bool) -> Self {
        let ends = |with: &str| {
            let start = key.len().checked_sub(with.len());
            start
                .and_then(|start| key.get(start..))
                .is_some_and(|end| end.eq_ignore_ascii_case(with))
        };
        match () {
            () if ends("url") || ends("uri") => Self::Url,
            () if is_part && WORDS.contains(&key) => Self::Words,
            () => Self::Data,
        }
    }

    fn allows(self, value: &str) -> bool {
        let is_data = || {
            value
                .get(..5)
                .is_some_and(|start| start.eq_ignore_ascii_case("data:"))
        };
        match self {
            Self::Words => true,
            Self::Data => is_data() || !has_scheme(value),
            Self::Url => is_data(),
        }
    }
}

/// Whether it begins as an address does: `http://`, `file://`.
fn has_scheme(value: &str) -> bool {
    let value = value.trim_start();
    let end = value.find(|c: char| !c.is_ascii_alphanumeric() && !"+-.".contains(c));
    end.is_some_and(|end| end > 0 && value[end..].starts_with("://"))
}

/// Ends the pass: what is wrong is kept beside it.
fn stop<E: serde::de::Error>(kept: &mut Option<Error>, error: Error) -> E {
    *kept = Some(error);
    E::custom("refused")
}

/// What every level lets pass that is not of its own kind: the dialect says what is wrong with it.
macro_rules! pass_scalars {
    () => {
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("JSON")
        }
        fn visit_bool<E>(self, _: bool) -> Result<(), E> {
            Ok(())
        }
        fn visit_i64<E>(self, _: i64) -> Result<(), E> {
            Ok(())
        }
        fn visit_u64<E>(self, _: u64) -> Result<(), E> {
            Ok(())
        }
        fn visit_f64<E>(self, _: f64) -> Result<(), E> {
            Ok(())
        }
        fn visit_unit<E>(self) -> Result<(), E> {
            Ok(())
        }
    };
}

macro_rules! pass_strings {
    () => {
        fn visit_str<E>(self, _: &str) -> Result<(), E> {
            Ok(())
        }
    };
}

macro_rules! pass_maps {
    () => {
        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
            while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            Ok(())
        }
    };
}

macro_rules! pass_sequences {
    () => {
        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
            while seq.next_element::<IgnoredAny>()?.is_some() {}
            Ok(())
        }
    };
}

macro_rules! seed {
    ($level:ident) => {
        impl<'de> DeserializeSeed<'de> for $level<'_> {
            type Value = ();

            fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
                deserializer.deserialize_any(self)
            }
        }
    };
}

seed!(Body);
seed!(Messages);
seed!(Message);
seed!(Content);
seed!(Media);

impl<'de> Visitor<'de> for Body<'_> {
    type Value = ();

    pass_scalars!();
    pass_strings!();
    pass_sequences!();

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(Key(key)) = map.next_key::<Key<'de>>()? {
            if key == "messages" {
                map.next_value_seed(Messages(self.found))?;
            } else if let Some(field) = self.reserved.iter().find(|field| field.name == key) {
                let value: &RawValue = map.next_value()?;
                if let Err(error) = field.check(value.get()) {
                    return Err(stop(self.found, error));
                }
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

impl<'de> Visitor<'de> for Messages<'_> {
    type Value = ();

    pass_scalars!();
    pass_strings!();
    pass_maps!();

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        for index in 0.. {
            let message = Message { index, found: self.0 };
            if seq.next_element_seed(message)?.is_none() {
                break;
            }
        }
        Ok(())
    }
}

impl<'de> Visitor<'de> for Message<'_> {
    type Value = ();

    pass_scalars!();
    pass_strings!();
    pass_sequences!();

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(Key(key)) = map.next_key::<Key<'de>>()? {
            if key == "content" {
                map.next_value_seed(Content {
                    message: self.index,
                    found: self.found,
                })?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

impl<'de> Visitor<'de> for Content<'_> {
    type Value = ();

    pass_scalars!();
    pass_strings!();
    pass_maps!();

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        for part in 0.. {
            let path = format!("messages[{}].content[{part}]", self.message);
            let media = Media {
                path: &path,
                is_part: true,
                hold: Hold::Words,
                found: self.found,
            };
            if seq.next_element_seed(media)?.is_none() {
                break;
            }
        }
        Ok(())
    }
}

impl<'de> Visitor<'de> for Media<'_> {
    type Value = ();

    pass_scalars!();

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<(), E> {
        match self.hold.allows(value) {
            true => Ok(()),
            false => Err(stop(self.found, remote(self.path))),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        loop {
            let element = Media {
                path: self.path,
                is_part: false,
                hold: self.hold,
                found: self.found,
            };
            if seq.next_element_seed(element)?.is_none() {
                return Ok(());
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(Key(key)) = map.next_key::<Key<'de>>()? {
            map.next_value_seed(Media {
                path: self.path,
                is_part: false,
                hold: Hold::of(&key, self.is_part),
                found: self.found,
            })?;
        }
        Ok(())
    }
}
