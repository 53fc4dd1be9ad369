//! What is asked: messages, texts or tokens.

use serde_json::Value;
use synapse_core::{Content, Error, Message, Part, Prompt};

use super::{Shape, level};
use crate::dialect::body::{Field, Level, elements, json, string};

/// Checks the shape of what is asked, without keeping any of it.
pub(super) fn check(shape: Shape, field: &Field<'_>) -> Result<(), Error> {
    match shape {
        Shape::Chat => check_messages(field),
        Shape::Completion => check_texts(field, true),
        Shape::Embeddings => check_texts(field, false),
    }
}

fn check_messages(field: &Field<'_>) -> Result<(), Error> {
    if !field.raw.starts_with('[') {
        return Err(field.wrong_type("an array of messages"));
    }
    let (mut count, mut fields, mut scratch) = (0, Vec::new(), Vec::new());
    elements(field.raw, |index, raw| {
        count += 1;
        fields.clear();
        check_message(index, raw, &mut fields, &mut scratch)
    })?;
    if count == 0 {
        return Err(Error::invalid("empty_messages", "messages is empty")
            .with_param("messages")
            .with_hint("send at least one message"));
    }
    Ok(())
}

fn check_message<'a>(
    index: usize,
    raw: &'a str,
    fields: &mut Vec<Field<'a>>,
    scratch: &mut Vec<Field<'a>>,
) -> Result<(), Error> {
    if !raw.starts_with('{') {
        return Err(wrong_element(&format!("messages[{index}]"), raw, "an object"));
    }
    let level = level::message(index);
    level.read(raw, fields)?;
    let find = |name: &str| fields.iter().find(|field| field.name == name);
    match find("role") {
        Some(role) if !role.string()?.is_empty() => {}
        Some(role) => return Err(role.out_of_range("a role such as user")),
        None => {
            return Err(
                Error::invalid("missing_field", format!("messages[{index}] has no role"))
                    .with_param(level.path("role"))
                    .with_hint("send role: user, assistant, system or tool"),
            );
        }
    }
    let Some(content) = find("content") else {
        return Ok(());
    };
    match content.raw.as_bytes().first() {
        Some(b'"') => content.string().map(drop),
        Some(b'n') => Ok(()),
        Some(b'[') => elements(content.raw, |part, raw| {
            scratch.clear();
            check_part(level::part(index, part), raw, scratch)
        }),
        _ => Err(content.wrong_type("a string or an array of parts")),
    }
}

fn check_part<'a>(level: Level, raw: &'a str, fields: &mut Vec<Field<'a>>) -> Result<(), Error> {
    if !raw.starts_with('{') {
        let path = level.path("");
        return Err(wrong_element(path.trim_end_matches('.'), raw, "an object"));
    }
    level.read(raw, fields)?;
    let find = |name: &str| fields.iter().find(|field| field.name == name);
    let missing = |name: &str| {
        let path = level.path(name);
        Error::invalid("missing_field", format!("{path} is missing")).with_param(path)
    };
    let kind = find("type").ok_or_else(|| missing("type"))?;
    if kind.string()? == "text" {
        find("text").ok_or_else(|| missing("text"))?.string()?;
    }
    Ok(())
}

/// A string, an array of strings, of token ids, or of arrays of token ids.
fn check_texts(field: &Field<'_>, allow_empty_text: bool) -> Result<(), Error> {
    const WANTED: &str = "a string, an array of strings, or token ids";
    let empty = || {
        let path = field.path();
        Error::invalid("empty_input", format!("{path} is empty"))
            .with_param(path)
            .with_hint("send some text")
    };
    let text = |raw: &str| match string(raw)?.is_empty() {
        true if !allow_empty_text => Err(empty()),
        _ => Ok(()),
    };
    match field.raw.as_bytes().first() {
        Some(b'"') => return text(field.raw),
        Some(b'[') => {}
        _ => return Err(field.wrong_type(WANTED)),
    }
    let mut first = None;
    elements(field.raw, |index, raw| {
        let path = || format!("{}[{index}]", field.name);
        let kind = json::kind(raw);
        if *first.get_or_insert(kind) != kind {
            return Err(wrong_element(&path(), raw, "the same kind as the element before"));
        }
        match kind {
            "a string" => text(raw),
            "a number" => token(&path, raw),
            "an array" => {
                let mut count = 0;
                elements(raw, |_, raw| {
                    count += 1;
                    token(&path, raw)
                })?;
                if count == 0 { Err(empty()) } else { Ok(()) }
            }
            _ => Err(wrong_element(&path(), raw, WANTED)),
        }
    })?;
    if first.is_none() { Err(empty()) } else { Ok(()) }
}

fn token(path: &dyn Fn() -> String, raw: &str) -> Result<(), Error> {
    match raw.parse::<u32>() {
        Ok(_) => Ok(()),
        Err(_) => Err(wrong_element(&path(), raw, "a token id")),
    }
}

fn wrong_element(path: &str, raw: &str, wanted: &str) -> Error {
    let (found, shown) = (json::kind(raw), json::shown(raw));
    Error::invalid(
        "invalid_type",
        format!("{path} is {found} ({shown}), and {wanted} is wanted"),
    )
    .with_param(path.to_owned())
}

/// What is asked, out of a value that [`check`] let through.
pub(super) fn read(shape: Shape, value: Value) -> Option<Prompt> {
    match (shape, value) {
        (Shape::Chat, Value::Array(messages)) => messages
            .into_iter()
            .map(read_message)
            .collect::<Option<_>>()
            .map(Prompt::Messages),
        (_, Value::String(text)) => Some(Prompt::Texts(vec![text])),
        (_, Value::Array(elements)) => match elements.first()? {
            Value::String(_) => serde_json::from_value(Value::Array(elements))
                .ok()
                .map(Prompt::Texts),
            Value::Number(_) => serde_json::from_value(Value::Array(elements))
                .ok()
                .map(|tokens| Prompt::Tokens(vec![tokens])),
            _ => serde_json::from_value(Value::Array(elements))
                .ok()
                .map(Prompt::Tokens),
        },
        _ => None,
    }
}

fn read_message(value: Value) -> Option<Message> {
    let Value::Object(mut fields) = value else {
        return None;
    };
    let Some(Value::String(role)) = fields.remove("role") else {
        return None;
    };
    let content = match fields.remove("content") {
        None | Some(Value::Null) => Content::None,
        Some(Value::String(text)) => Content::Text(text),
        Some(Value::Array(parts)) => Content::Parts(parts.into_iter().map(read_part).collect()),
        Some(_) => return None,
    };
    let mut message = Message::with_content(role, content);
    message.other = fields;
    Some(message)
}

/// Text stays text whatever else its part carries, such as a hint for a cache.
fn read_part(mut part: Value) -> Part {
    if part["type"] == "text"
        && let Value::String(text) = part["text"].take()
    {
        return Part::Text(text);
    }
    Part::Other(part)
}
