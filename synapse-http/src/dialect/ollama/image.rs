//! Images: bare base64 in Ollama's format, data URLs in OpenAI's.

use serde_json::{Value, json};
use synapse_core::Error;

/// What the base64 of a file begins with, by its type.
const TYPES: [(&str, &str); 4] = [
    ("/9j/", "image/jpeg"),
    ("iVBORw0KGgo", "image/png"),
    ("UklGR", "image/webp"),
    ("R0lGOD", "image/gif"),
];

/// An image as a part of OpenAI's content; its type is what its first bytes say.
pub(super) fn part(base64: &str) -> Value {
    let kind = TYPES
        .iter()
        .find(|(start, _)| base64.starts_with(start))
        .map_or("application/octet-stream", |(_, kind)| kind);
    json!({"type": "image_url", "image_url": {"url": format!("data:{kind};base64,{base64}")}})
}

/// The base64 of an image that OpenAI's content holds; `path` is where.
pub(super) fn base64<'a>(part: &'a Value, path: &str) -> Result<&'a str, Error> {
    let kind = part["type"].as_str().unwrap_or_default();
    if kind != "image_url" {
        return Err(Error::unsupported(
            "content_unsupported",
            format!("{path} is of the type {kind:?}, and Ollama's format has only text and images"),
        )
        .with_param(path.to_owned())
        .with_hint("send text or image_url"));
    }
    let url = match &part["image_url"] {
        Value::String(url) => url,
        object => object["url"].as_str().unwrap_or_default(),
    };
    url.strip_prefix("data:")
        .and_then(|data| data.split_once(";base64,"))
        .map(|(_, base64)| base64)
        .ok_or_else(|| {
            Error::unsupported(
                "remote_image",
                format!("{path} is an image at an address, and Ollama's format holds images themselves"),
            )
            .with_param(path.to_owned())
            .with_hint("send the image as data:image/png;base64,…")
        })
}
