//! JSON before anything is read from it: is it text, is it flat enough, what is wrong with it.

use std::borrow::Cow;

use memchr::memchr2;
use serde::de::IgnoredAny;
use synapse_core::Error;

/// How deep objects and arrays may nest.
const MAX_DEPTH: usize = 128;
/// How much of a value an error shows, in characters.
const SHOWN: usize = 128;

/// The body as text that is safe to parse recursively.
pub(in crate::dialect) fn text(body: &[u8]) -> Result<&str, Error> {
    let text = std::str::from_utf8(body).map_err(|error| {
        Error::invalid(
            "invalid_json",
            format!("the body is not UTF-8 after {} bytes", error.valid_up_to()),
        )
        .with_hint("send the body as UTF-8 encoded JSON")
    })?;
    if nests_too_deep(body) {
        return Err(Error::invalid(
            "too_deep",
            format!("the body nests more than {MAX_DEPTH} objects or arrays"),
        )
        .with_hint("flatten the deepest schema or metadata"));
    }
    Ok(text)
}

/// The body as [`text`], which must begin as an object does.
pub(in crate::dialect) fn object(body: &[u8]) -> Result<&str, Error> {
    let text = text(body)?;
    let start = text.trim_ascii_start();
    if start.starts_with('{') {
        return Ok(text);
    }
    serde_json::from_str::<IgnoredAny>(text).map_err(invalid)?;
    let found = kind(start);
    Err(Error::invalid(
        "invalid_type",
        format!("the body is {found}, and an object is wanted"),
    ))
}

/// What is wrong with JSON that does not parse.
pub(in crate::dialect) fn invalid(error: serde_json::Error) -> Error {
    Error::invalid("invalid_json", format!("the body is not valid JSON: {error}"))
        .with_hint("send one JSON object")
        .with_source(error)
}

/// A value as errors show it, cut where it is long.
pub(in crate::dialect) fn shown(raw: &str) -> Cow<'_, str> {
    match raw.char_indices().nth(SHOWN) {
        Some((cut, _)) => format!("{}…", &raw[..cut]).into(),
        None => raw.into(),
    }
}

/// What kind of value `raw` is, with its article.
pub(in crate::dialect) fn kind(raw: &str) -> &'static str {
    match raw.as_bytes().first() {
        Some(b'{') => "an object",
        Some(b'[') => "an array",
        Some(b'"') => "a string",
        Some(b't' | b'f') => "a boolean",
        Some(b'n') => "null",
        _ => "a number",
    }
}

fn nests_too_deep(text: &[u8]) -> bool {
    let (mut depth, mut at) = (0_usize, 0);
    while let Some(byte) = text.get(at) {
        at += 1;
        match byte {
            b'{' | b'[' => {
                depth += 1;
                if depth > MAX_DEPTH {
                    return true;
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            b'"' => at = end_of_string(text, at),
            _ => {}
        }
    }
    false
}

/// Where the string that starts before `at` ends.
fn end_of_string(text: &[u8], mut at: usize) -> usize {
    while let Some(found) = text.get(at..).and_then(|rest| memchr2(b'"', b'\\', rest)) {
        at += found;
        if text[at] == b'"' {
            return at + 1;
        }
        at += 2;
    }
    text.len()
}
