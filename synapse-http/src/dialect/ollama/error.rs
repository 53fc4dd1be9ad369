//! Ollama's error, with what of ours must survive a hop.

use bytes::Bytes;
use serde_json::json;
use synapse_core::Error;

use crate::dialect::openai::verdict;

/// `error` as the body of a reply: Ollama's text, with our kind, code, hint and verdict on retrying beside it.
///
/// ```
/// use synapse_core::Error;
/// let body = synapse_http::dialect::ollama::error_body(&Error::model_not_found("gpt-9"));
/// let body: serde_json::Value = serde_json::from_slice(&body)?;
/// assert!(body["error"].as_str().unwrap().contains("gpt-9"));
/// assert_eq!(body["synapse"]["code"], "model_not_found");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[must_use]
pub fn error_body(error: &Error) -> Bytes {
    let mut ours = verdict(error);
    ours["code"] = error.code().into();
    ours["param"] = error.param().into();
    json!({"error": error.to_string(), "synapse": ours})
        .to_string()
        .into()
}

/// `error` as the line that ends a stream which already began.
#[must_use]
pub fn error_line(error: &Error) -> Bytes {
    [&*error_body(error), b"\n"].concat().into()
}
