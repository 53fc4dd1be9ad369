//! What is changed of a request in Ollama's own format, every other value as it was.

use std::{borrow::Cow, fmt};

use bytes::Bytes;
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;
use synapse_core::Error;

use super::builder::Settings;

/// Options that say how a model is loaded. Another value of one of them has it loaded anew, which would let callers take
/// each other's model away: they are the operator's.
const OF_LOADING: [&str; 10] = [
    "num_ctx",
    "num_batch",
    "num_gpu",
    "main_gpu",
    "use_mmap",
    "use_mlock",
    "num_thread",
    "numa",
    "low_vram",
    "draft_num_predict",
];

/// The fields of an object in their order, the text of each value as it was written.
struct Fields<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

/// `body` as Ollama gets it: a prompt that is too long is an error, and what only the operator decides is as he says.
///
/// # Errors
/// Where the body is no object; where it asks for a longer context than the model has, or for what would have the model
/// loaded anew.
pub(super) fn prepare(body: &[u8], context: Option<u32>, settings: &Settings) -> Result<Bytes, Error> {
    let mut fields = Fields::of(body)?;
    // To Ollama `null` says nothing, and it cuts then.
    if fields.get("truncate").is_none_or(|truncate| truncate == "null") {
        fields.set("truncate", "false");
    }
    // Current versions load a model anew where this differs from the request before.
    if fields.take("shift").is_some_and(|shift| shift == "false") {
        return Err(Error::unsupported(
            "shift_unsupported",
            "shift is how the model was loaded, and no caller's to change",
        )
        .with_param("shift")
        .with_hint("leave it out, and send a num_predict that fits into the context"));
    }
    fields.take("keep_alive");
    if let Some(keep_alive) = settings.keep_alive {
        fields.set("keep_alive", &keep_alive.to_json().to_string());
    }
    let options = fields.get("options").filter(|options| *options != "null");
    let options = match options {
        Some(options) => Some(of_operator(options, context, settings)?),
        None => settings
            .context_length
            .map(|_| of_operator("{}", context, settings))
            .transpose()?,
    };
    if let Some(options) = options {
        fields.set("options", &options);
    }
    Ok(fields.written().into())
}

/// A translated body that Ollama treats as it treats the one it came from: its route for completions puts every prompt into
/// the model's template, and a miner's replies do not hang on how long a prompt is.
pub(super) fn as_on_v1(body: &[u8]) -> Result<String, Error> {
    let mut fields = Fields::of(body)?;
    fields.take("raw");
    Ok(fields.written())
}

/// Options without those of loading, but for the context that the operator chose.
fn of_operator(options: &str, context: Option<u32>, settings: &Settings) -> Result<String, Error> {
    let mut fields = Fields::of(options.as_bytes())?;
    let asked = fields
        .get("num_ctx")
        .and_then(|tokens| tokens.parse::<f64>().ok());
    if let (Some(asked), Some(context)) = (asked, context)
        && asked > f64::from(context)
    {
        return Err(Error::invalid(
            "context_length_exceeded",
            format!("num_ctx is {asked}, and the model has a context of {context} tokens here"),
        )
        .with_param("options.num_ctx")
        .with_hint("leave num_ctx out, or ask a miner whose model has a longer context"));
    }
    for name in OF_LOADING {
        fields.take(name);
    }
    if let (Some(_), Some(tokens)) = (settings.context_length, context) {
        fields.set("num_ctx", &tokens.to_string());
    }
    Ok(fields.written())
}

impl<'a> Fields<'a> {
    fn of(body: &'a [u8]) -> Result<Self, Error> {
        serde_json::from_slice(body).map_err(|error| {
            Error::invalid("invalid_json", "the body, or its options, are no JSON object")
                .with_hint("send an object as Ollama's API has it")
                .with_source(error)
        })
    }

    /// Ollama reads keys in any case.
    fn get(&self, name: &str) -> Option<&str> {
        let found = self
            .0
            .iter()
            .rev()
            .find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| &**value)
    }

    fn take(&mut self, name: &str) -> Option<Cow<'a, str>> {
        let mut taken = None;
        self.0.retain_mut(|(known, value)| {
            let other = !known.eq_ignore_ascii_case(name);
            if !other {
                taken = Some(std::mem::take(value));
            }
            other
        });
        taken
    }

    fn set(&mut self, name: &'static str, value: &str) {
        let named = |(known, _): &(Cow<'a, str>, _)| known.eq_ignore_ascii_case(name);
        match self.0.iter().position(named) {
            Some(place) => self.0[place].1 = Cow::Owned(value.to_owned()),
            None => self.0.push((Cow::Borrowed(name), Cow::Owned(value.to_owned()))),
        }
    }

    fn written(&self) -> String {
        let mut text = String::from("{");
        for (name, value) in &self.0 {
            if text.len() > 1 {
                text.push(',');
            }
            text.push_str(&serde_json::Value::from(&**name).to_string());
            text.push(':');
            text.push_str(value);
        }
        text.push('}');
        text
    }
}

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = Vec::new();
                while let Some(name) = map.next_key::<Name<'de>>()? {
                    let value: &'de RawValue = map.next_value()?;
                    fields.push((name.0, Cow::Borrowed(value.get())));
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

/// A key, borrowed where it has no escapes.
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);
