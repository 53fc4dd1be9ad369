//! Messages, from Ollama's shape to OpenAI's and back.

use std::{borrow::Cow, collections::VecDeque};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json, value::RawValue};
use synapse_core::{Content, Error, Message, Part};

use super::{image, request::spoken, unsaid};
use crate::dialect::body::json;

#[derive(Deserialize)]
struct Given<'a> {
    role: String,
    #[serde(default)]
    content: Option<String>,
    #[serde(default)]
    thinking: Option<String>,
    #[serde(default)]
    images: Option<Vec<String>>,
    #[serde(default, borrow)]
    tool_calls: Option<Vec<GivenCall<'a>>>,
    #[serde(default)]
    tool_name: Option<String>,
    #[serde(default)]
    tool_call_id: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct GivenCall<'a> {
    #[serde(default)]
    pub(super) id: Option<String>,
    #[serde(borrow)]
    pub(super) function: GivenFunction<'a>,
}

#[derive(Deserialize)]
pub(super) struct GivenFunction<'a> {
    #[serde(default)]
    pub(super) index: Option<u32>,
    #[serde(default)]
    pub(super) name: String,
    /// An object here; OpenAI has the JSON text of one.
    #[serde(default, borrow)]
    pub(super) arguments: Option<&'a RawValue>,
}

impl GivenFunction<'_> {
    /// The arguments' JSON text.
    pub(super) fn arguments(&self) -> String {
        self.arguments.map_or("{}", |raw| raw.get()).to_owned()
    }
}

/// Reads the array of messages that a view let through.
///
/// OpenAI ties a tool's result to its call by an id. Where the messages have none, calls are numbered, and a result is
/// taken for the first call of its tool that has none yet.
pub(super) fn read(text: &str) -> Result<Vec<Message>, Error> {
    let given: Vec<Given<'_>> = serde_json::from_str(text).map_err(json::invalid)?;
    let mut unanswered: VecDeque<(String, String)> = VecDeque::new();
    let mut count = 0;
    let mut messages = Vec::with_capacity(given.len());
    for message in given {
        let mut other = Map::new();
        let calls: Vec<Value> = message
            .tool_calls
            .into_iter()
            .flatten()
            .map(|call| {
                let id = call.id.clone().filter(|id| !id.is_empty());
                let id = id.unwrap_or_else(|| format!("call_{count}"));
                count += 1;
                unanswered.push_back((id.clone(), call.function.name.clone()));
                let function = json!({"name": call.function.name, "arguments": call.function.arguments()});
                json!({"id": id, "type": "function", "function": function})
            })
            .collect();
        let role = message.role.to_lowercase();
        if role == "tool" {
            let named = message.tool_name.filter(|name| !name.is_empty());
            let position = match (&message.tool_call_id, &named) {
                (Some(id), _) => unanswered.iter().position(|(known, _)| known == id),
                (None, Some(name)) => unanswered.iter().position(|(_, known)| known == name),
                (None, None) => (!unanswered.is_empty()).then_some(0),
            };
            let call = position.and_then(|position| unanswered.remove(position));
            let id = message.tool_call_id.or(call.map(|(id, _)| id));
            other.extend(id.map(|id| ("tool_call_id".to_owned(), id.into())));
            other.extend(named.map(|name| ("name".to_owned(), name.into())));
        }
        if let Some(thinking) = message.thinking.filter(|thinking| !thinking.is_empty()) {
            other.insert("reasoning_content".to_owned(), thinking.into());
        }
        let text = message.content.unwrap_or_default();
        let images = message.images.unwrap_or_default();
        let only_calls = text.is_empty() && images.is_empty() && !calls.is_empty();
        if !calls.is_empty() {
            other.insert("tool_calls".to_owned(), calls.into());
        }
        let content = if only_calls {
            Content::None
        } else {
            spoken(text, &images)
        };
        let mut read = Message::with_content(role, content);
        read.other = other;
        messages.push(read);
    }
    Ok(messages)
}

/// A message as Ollama writes it.
#[derive(Serialize)]
pub(super) struct Said<'a> {
    role: &'a str,
    content: Cow<'a, str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    thinking: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    images: Vec<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<Call<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_call_id: Option<&'a str>,
}

/// A call of a tool as Ollama writes it.
#[derive(Debug, Serialize)]
pub(super) struct Call<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<&'a str>,
    pub(super) function: Function<'a>,
}

#[derive(Debug, Serialize)]
pub(super) struct Function<'a> {
    pub(super) index: u32,
    pub(super) name: &'a str,
    pub(super) arguments: Box<RawValue>,
}

/// The JSON text of arguments as a value of one line; `None` where it is no object.
pub(super) fn arguments(text: &str) -> Option<Box<RawValue>> {
    let text = match text.trim() {
        "" => "{}",
        text => text,
    };
    if !text.starts_with('{') {
        return None;
    }
    if text.contains(['\n', '\r']) {
        let value: Value = serde_json::from_str(text).ok()?;
        return RawValue::from_string(value.to_string()).ok();
    }
    RawValue::from_string(text.to_owned()).ok()
}

/// Writes messages as Ollama has them.
pub(super) fn write(messages: &[Message]) -> Result<Vec<Said<'_>>, Error> {
    messages
        .iter()
        .enumerate()
        .map(|(index, message)| said(index, message, &messages[..index]))
        .collect()
}

fn said<'a>(index: usize, message: &'a Message, before: &'a [Message]) -> Result<Said<'a>, Error> {
    let path = |name: &str| format!("messages[{index}].{name}");
    let mut said = Said {
        role: match &*message.role {
            "developer" => "system",
            role => role,
        },
        content: Cow::Borrowed(""),
        thinking: "",
        images: Vec::new(),
        tool_calls: Vec::new(),
        tool_name: None,
        tool_call_id: None,
    };
    match &message.content {
        Content::Text(text) => said.content = text.into(),
        Content::Parts(parts) => {
            for (number, part) in parts.iter().enumerate() {
                match part {
                    Part::Text(text) => said.content.to_mut().push_str(text),
                    Part::Other(part) => {
                        said.images
                            .push(image::base64(part, &path(&format!("content[{number}]")))?);
                    }
                    _ => return Err(unsaid(path(&format!("content[{number}]")))),
                }
            }
        }
        _ => {}
    }
    let is_tool = message.role == "tool";
    for (name, value) in &message.other {
        match (name.as_str(), value) {
            (_, Value::Null) => {}
            ("reasoning_content" | "reasoning", Value::String(text)) => said.thinking = text,
            ("tool_calls", Value::Array(calls)) => said.tool_calls = write_calls(calls, index)?,
            ("tool_call_id", Value::String(id)) => said.tool_call_id = Some(id),
            ("name", Value::String(name)) if is_tool => said.tool_name = Some(name),
            _ => return Err(unsaid(path(name))),
        }
    }
    if is_tool && said.tool_name.is_none() {
        said.tool_name = said.tool_call_id.and_then(|id| tool_of(id, before));
    }
    Ok(said)
}

fn write_calls(calls: &[Value], message: usize) -> Result<Vec<Call<'_>>, Error> {
    (0_u32..)
        .zip(calls)
        .map(|(index, call)| {
            let path = format!("messages[{message}].tool_calls[{index}].function.arguments");
            let text = call["function"]["arguments"].as_str().unwrap_or_default();
            let arguments = arguments(text).ok_or_else(|| {
                Error::invalid(
                    "invalid_arguments",
                    format!("{path} is not the JSON text of an object"),
                )
                .with_param(path.clone())
                .with_hint("send the arguments as the model wrote them")
            })?;
            Ok(Call {
                id: call["id"].as_str(),
                function: Function {
                    index,
                    name: call["function"]["name"].as_str().unwrap_or_default(),
                    arguments,
                },
            })
        })
        .collect()
}

/// Which tool the call `id` was of.
fn tool_of<'a>(id: &str, before: &'a [Message]) -> Option<&'a str> {
    before
        .iter()
        .rev()
        .filter_map(|message| message.other.get("tool_calls")?.as_array())
        .flatten()
        .find(|call| call["id"] == *id)
        .and_then(|call| call["function"]["name"].as_str())
}
