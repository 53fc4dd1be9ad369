//! A request as a value of its own: what both formats can say in OpenAI's words, the rest apart.

use std::{borrow::Cow, collections::BTreeMap};

use serde_json::{Map, Value, json, value::RawValue};
use synapse_core::{Content, Error, Message, Part, Prompt, Request, View};

use super::{Shape, image, messages};
use crate::dialect::body::json;

/// Under this name a [`Request`] keeps what only Ollama's format has, in Ollama's words.
pub(in crate::dialect) const APART: &str = "ollama";
/// Options that say how an engine works, not what it answers. A context that turns out too small is refused, not cut.
const ENGINES: [&str; 7] = [
    "num_ctx",
    "num_batch",
    "num_gpu",
    "main_gpu",
    "use_mmap",
    "num_thread",
    "draft_num_predict",
];
/// Options that [`Params`](synapse_core::Params) hold.
const HELD: [&str; 9] = [
    "num_predict",
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "presence_penalty",
    "frequency_penalty",
    "seed",
    "stop",
];

pub(super) fn request(shape: Shape, body: &[u8], view: &View) -> Result<Request, Error> {
    let text = json::text(body)?;
    // Field by field, so that each has the parser's whole depth.
    let fields: BTreeMap<Cow<'_, str>, &RawValue> = serde_json::from_str(text).map_err(json::invalid)?;
    let mut other = Map::new();
    let mut apart = Map::new();
    let mut asked = Asked::default();
    for (name, raw) in fields {
        if raw.get() == "null" {
            continue;
        }
        let value = || serde_json::from_str::<Value>(raw.get()).map_err(json::invalid);
        match &*name {
            "messages" if shape == Shape::Chat => asked.messages = messages::read(raw.get())?,
            "prompt" => asked.prompt = value()?.as_str().unwrap_or_default().to_owned(),
            "system" => asked.system = value()?.as_str().unwrap_or_default().to_owned(),
            "raw" => asked.raw = raw.get() == "true",
            "images" => asked.images = serde_json::from_str(raw.get()).map_err(json::invalid)?,
            "input" => asked.texts = texts(value()?),
            "options" => options(value()?, &mut other, &mut apart),
            "format" => other.extend(format(value()?).map(|format| ("response_format".to_owned(), format))),
            "think" => drop(other.insert("reasoning_effort".to_owned(), effort(value()?))),
            "dimensions" if raw.get() != "0" => drop(other.insert("dimensions".to_owned(), value()?)),
            "suffix" | "tools" => {
                let value = value()?;
                let says_nothing = value == json!("") || value == json!([]);
                if !says_nothing {
                    other.insert(name.into_owned(), value);
                }
            }
            // Checked to say nothing, or held by the parameters, or about the engine and not the reply.
            "model" | "stream" | "logprobs" | "top_logprobs" | "keep_alive" | "truncate" | "shift"
            | "template" | "context" | "dimensions" | "_debug_render_only" => {}
            _ => drop(apart.insert(name.into_owned(), value()?)),
        }
    }
    if other.contains_key("suffix") || asked.raw {
        if !asked.images.is_empty() {
            apart.insert("images".to_owned(), json!(asked.images));
        }
        if !asked.system.is_empty() {
            apart.insert("system".to_owned(), json!(asked.system));
        }
    }
    if !apart.is_empty() {
        other.insert(APART.to_owned(), apart.into());
    }
    let prompt = asked.prompt(shape, other.contains_key("suffix"));
    let mut request = Request::new(view.model().unwrap_or_default(), prompt);
    request.params = view.params().clone();
    request.other = other;
    Ok(request)
}

/// What is asked, in whichever fields it came.
#[derive(Default)]
struct Asked {
    messages: Vec<Message>,
    prompt: String,
    system: String,
    raw: bool,
    images: Vec<String>,
    texts: Vec<String>,
}

impl Asked {
    fn prompt(self, shape: Shape, has_suffix: bool) -> Prompt {
        match shape {
            Shape::Chat => Prompt::Messages(self.messages),
            Shape::Embed => Prompt::Texts(self.texts),
            Shape::Embedding => Prompt::Texts(vec![self.prompt]),
            Shape::Generate if self.raw || has_suffix => Prompt::Texts(vec![self.prompt]),
            Shape::Generate => {
                let system = (!self.system.is_empty()).then(|| Message::system(self.system));
                let user = Message::with_content("user", spoken(self.prompt, &self.images));
                Prompt::Messages(system.into_iter().chain([user]).collect())
            }
        }
    }
}

/// Text and images as one content.
pub(super) fn spoken(text: String, images: &[String]) -> Content {
    if images.is_empty() {
        return Content::Text(text);
    }
    let text = (!text.is_empty()).then_some(Part::Text(text));
    let images = images.iter().map(|base64| Part::Other(image::part(base64)));
    Content::Parts(text.into_iter().chain(images).collect())
}

fn texts(value: Value) -> Vec<String> {
    match value {
        Value::String(text) => vec![text],
        other => serde_json::from_value(other).unwrap_or_default(),
    }
}

fn options(options: Value, other: &mut Map<String, Value>, apart: &mut Map<String, Value>) {
    let Value::Object(mut options) = options else {
        return;
    };
    options.retain(|name, value| {
        !value.is_null() && !HELD.contains(&name.as_str()) && !ENGINES.contains(&name.as_str())
    });
    if let Some(penalty) = options.remove("repeat_penalty") {
        // OpenAI has no such parameter, and its compatible engines have two names for it.
        other.insert("repetition_penalty".to_owned(), penalty.clone());
        other.insert("repeat_penalty".to_owned(), penalty);
    }
    if !options.is_empty() {
        apart.insert("options".to_owned(), options.into());
    }
}

fn format(format: Value) -> Option<Value> {
    match format {
        Value::String(name) if name.is_empty() => None,
        Value::String(_) => Some(json!({"type": "json_object"})),
        schema => Some(json!({
            "type": "json_schema",
            "json_schema": {"name": "reply", "strict": true, "schema": schema},
        })),
    }
}

fn effort(think: Value) -> Value {
    match think {
        Value::Bool(true) => "medium".into(),
        Value::Bool(false) => "none".into(),
        level => level,
    }
}

/// A field kept [apart](APART) as errors name it: of options the first one.
pub(in crate::dialect) fn path(field: &str, apart: &Value) -> String {
    let option = apart[field].as_object().and_then(|options| options.keys().next());
    match option {
        Some(option) if field == "options" => format!("options.{option}"),
        _ => field.to_owned(),
    }
}
