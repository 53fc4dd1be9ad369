//! Messages as the values that chat templates expect.

use minijinja::value::Value;
use serde_json::{Map, Number, Value as Json};
use synapse_core::{Content, Message};

use super::special::Mask;
use crate::error::LlamaError;

/// The most nested that a message's JSON may be; what is deeper is left out.
const MAX_DEPTH: usize = 64;

/// Messages as Hugging Face writes them: content as one text, a tool call's arguments as an object.
pub(super) fn flatten(messages: &[Message]) -> Result<Vec<Json>, LlamaError> {
    messages.iter().map(flatten_one).collect()
}

fn flatten_one(message: &Message) -> Result<Json, LlamaError> {
    let mut fields = Map::new();
    for (key, value) in &message.other {
        let value = if key == "tool_calls" {
            with_object_arguments(value)
        } else {
            value.clone()
        };
        fields.insert(key.clone(), value);
    }
    let content = match &message.content {
        // Nothing said, as beside tool calls: templates join contents as texts.
        Content::None => Json::from(""),
        some => some
            .text()
            .map(|text| Json::from(text.into_owned()))
            .ok_or_else(not_text)?,
    };
    fields.insert("content".to_owned(), content);
    fields.insert("role".to_owned(), Json::from(message.role.clone()));
    Ok(Json::Object(fields))
}

fn not_text() -> LlamaError {
    let held = "a message holds something that is no text (an image, audio or a file), and this model takes text only";
    LlamaError::Unsupported(format!("{held}; send text parts"))
}

/// Templates want a call's arguments as the object that they are, and the API sends them as JSON text.
fn with_object_arguments(calls: &Json) -> Json {
    let mut calls = calls.clone();
    for call in calls.as_array_mut().into_iter().flatten() {
        if let Some(arguments) = call.pointer_mut("/function/arguments")
            && let Some(object) = arguments
                .as_str()
                .and_then(|text| serde_json::from_str::<Json>(text).ok())
            && object.is_object()
        {
            *arguments = object;
        }
    }
    calls
}

/// JSON as a template's value, with every string masked.
pub(super) fn to_value(json: &Json, mask: &Mask<'_>) -> Value {
    nested(json, mask, 0)
}

fn nested(json: &Json, mask: &Mask<'_>, depth: usize) -> Value {
    match json {
        _ if depth > MAX_DEPTH => Value::UNDEFINED,
        Json::String(text) => Value::from(mask.apply(text)),
        Json::Array(items) => items.iter().map(|item| nested(item, mask, depth + 1)).collect(),
        Json::Object(fields) => Value::from_pairs(
            fields
                .iter()
                .map(|(key, value)| (mask.apply(key), nested(value, mask, depth + 1))),
        ),
        Json::Null => Value::from(()),
        Json::Bool(truth) => Value::from(*truth),
        Json::Number(number) => number_to_value(number),
    }
}

fn number_to_value(number: &Number) -> Value {
    let whole = number
        .as_i64()
        .map(Value::from)
        .or_else(|| number.as_u64().map(Value::from));
    whole
        .or_else(|| number.as_f64().map(Value::from))
        .unwrap_or(Value::UNDEFINED)
}
