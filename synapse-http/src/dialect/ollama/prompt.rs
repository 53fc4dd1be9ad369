//! What is asked, checked without keeping any of it.

use synapse_core::Error;

use super::{Shape, level};
use crate::dialect::body::{Field, elements, json, string};

pub(super) fn check(shape: Shape, field: &Field<'_>) -> Result<(), Error> {
    match shape {
        Shape::Chat => messages(field),
        Shape::Generate => match field.string()?.is_empty() {
            true => Err(empty("empty_prompt", "prompt")),
            false => Ok(()),
        },
        Shape::Embedding => text(field.raw, field),
        Shape::Embed => match field.raw.as_bytes().first() {
            Some(b'"') => text(field.raw, field),
            Some(b'[') => {
                let mut count = 0;
                elements(field.raw, |_, raw| {
                    count += 1;
                    match raw.starts_with('"') {
                        true => text(raw, field),
                        false => Err(field.wrong_type("a string or an array of strings")),
                    }
                })?;
                match count {
                    0 => Err(empty("empty_input", "input")),
                    _ => Ok(()),
                }
            }
            _ => Err(field.wrong_type("a string or an array of strings")),
        },
    }
}

fn text(raw: &str, field: &Field<'_>) -> Result<(), Error> {
    if !raw.starts_with('"') {
        return Err(field.wrong_type("a string"));
    }
    match string(raw)?.is_empty() {
        true => Err(empty("empty_input", field.name)),
        false => Ok(()),
    }
}

/// To Ollama itself a request without a prompt is one to load a model, or to unload it.
pub(super) fn empty(code: &'static str, name: &'static str) -> Error {
    Error::invalid(code, format!("{name} is empty"))
        .with_param(name)
        .with_hint("send some text; models are loaded when they are asked, and by nobody from outside")
}

fn messages(field: &Field<'_>) -> Result<(), Error> {
    if !field.raw.starts_with('[') {
        return Err(field.wrong_type("an array of messages"));
    }
    let (mut count, mut fields, mut scratch) = (0, Vec::new(), Vec::new());
    elements(field.raw, |index, raw| {
        count += 1;
        fields.clear();
        message(index, raw, &mut fields, &mut scratch)
    })?;
    match count {
        0 => Err(empty("empty_messages", "messages")),
        _ => Ok(()),
    }
}

fn message<'a>(
    index: usize,
    raw: &'a str,
    fields: &mut Vec<Field<'a>>,
    scratch: &mut Vec<Field<'a>>,
) -> Result<(), Error> {
    if !raw.starts_with('{') {
        return Err(not_an_object(format!("messages[{index}]"), raw));
    }
    let level = level::message(index);
    level.read(raw, fields)?;
    match fields.iter().find(|field| field.name == "role") {
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
    for field in fields.iter().filter(|field| !field.is_null()) {
        match field.name {
            "content" | "thinking" | "tool_name" | "tool_call_id" => drop(field.string()?),
            "images" => strings(field)?,
            "tool_calls" => calls(index, field, scratch)?,
            _ => {}
        }
    }
    Ok(())
}

/// Texts, such as the images of a prompt.
pub(super) fn strings(field: &Field<'_>) -> Result<(), Error> {
    let wanted = || field.wrong_type("an array of base64 texts");
    if !field.raw.starts_with('[') {
        return Err(wanted());
    }
    elements(field.raw, |_, raw| match raw.starts_with('"') {
        true => Ok(()),
        false => Err(wanted()),
    })
}

fn calls<'a>(message: usize, field: &Field<'a>, scratch: &mut Vec<Field<'a>>) -> Result<(), Error> {
    if !field.raw.starts_with('[') {
        return Err(field.wrong_type("an array of calls"));
    }
    elements(field.raw, |index, raw| {
        let level = level::call(message, index);
        if !raw.starts_with('{') {
            let path = level.path("");
            return Err(not_an_object(path.trim_end_matches('.').to_owned(), raw));
        }
        scratch.clear();
        level.read(raw, scratch)?;
        match scratch.iter().find(|field| field.name == "function") {
            Some(function) if function.raw.starts_with('{') => {
                let function = function.raw;
                scratch.clear();
                level::function(message, index).read(function, scratch)?;
                match scratch
                    .iter()
                    .find(|field| field.name == "arguments" && !field.is_null())
                {
                    Some(arguments) if !arguments.raw.starts_with('{') => {
                        Err(arguments.wrong_type("an object"))
                    }
                    _ => Ok(()),
                }
            }
            Some(function) => Err(function.wrong_type("an object")),
            None => {
                let path = level.path("function");
                Err(Error::invalid("missing_field", format!("{path} is missing")).with_param(path))
            }
        }
    })
}

fn not_an_object(path: String, raw: &str) -> Error {
    let (found, shown) = (json::kind(raw), json::shown(raw));
    Error::invalid(
        "invalid_type",
        format!("{path} is {found} ({shown}), and an object is wanted"),
    )
    .with_param(path)
}
