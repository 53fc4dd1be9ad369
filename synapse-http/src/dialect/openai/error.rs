//! OpenAI's error object, with what of ours must survive a hop.

use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use synapse_core::{Error, ErrorKind, Retry};

use crate::{client::Upstream, status};

/// How much of a foreign message is kept, in characters.
const MESSAGE: usize = 1024;
/// How long a foreign code or parameter may be, in bytes.
const NAME: usize = 128;

/// `error` as the body of a reply: OpenAI's error object, with our kind, hint and verdict on retrying beside it.
///
/// ```
/// use synapse_core::Error;
/// let body = synapse_http::dialect::openai::error_body(&Error::model_not_found("gpt-9"));
/// let body: serde_json::Value = serde_json::from_slice(&body)?;
/// assert_eq!(body["error"]["code"], "model_not_found");
/// assert_eq!(body["error"]["type"], "invalid_request_error");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[must_use]
pub fn error_body(error: &Error) -> Bytes {
    let body = json!({ "error": {
        "message": error.to_string(),
        "type": status::openai_type(error.kind()),
        "param": error.param(),
        "code": error.code(),
        "synapse": verdict(error),
    }});
    body.to_string().into()
}

/// What of `error` only our own nodes read: its kind, hint, and verdict on retrying.
pub(in crate::dialect) fn verdict(error: &Error) -> Value {
    let retry = match error.retry() {
        Retry::Never => "never",
        Retry::Elsewhere => "elsewhere",
        Retry::After(_) => "after",
    };
    let after = error
        .retry_after()
        .and_then(|after| u64::try_from(after.as_millis()).ok());
    json!({
        "kind": status::name(error.kind()),
        "hint": error.hint(),
        "retry": retry,
        "retry_after_ms": after,
    })
}

/// `error` as the event that ends a stream which already began: a data event, since that is where OpenAI's clients look.
#[must_use]
pub fn error_event(error: &Error) -> Bytes {
    [b"data: ", &*error_body(error), b"\n\n"].concat().into()
}

#[derive(Debug, Default, Deserialize)]
struct Foreign {
    #[serde(default)]
    message: Value,
    #[serde(default, rename = "type")]
    kind: Value,
    #[serde(default)]
    param: Value,
    #[serde(default)]
    code: Value,
    #[serde(default)]
    synapse: Option<Ours>,
}

/// Beside a text, as Ollama's format has errors, code and parameter are here too.
#[derive(Debug, Default, Deserialize, Serialize)]
struct Ours {
    #[serde(default)]
    kind: String,
    #[serde(default)]
    hint: Option<String>,
    #[serde(default)]
    retry: String,
    #[serde(default)]
    retry_after_ms: Option<u64>,
    #[serde(default)]
    code: Value,
    #[serde(default)]
    param: Value,
}

/// An error that came inside a reply, where no status says more: the value of `error`, or a whole object around it.
pub(super) fn read_event(json: &str) -> Error {
    let value: Value = serde_json::from_str(json).unwrap_or_else(|_| json.trim().into());
    match value {
        Value::Object(fields) if fields.get("error").is_some_and(|error| !error.is_null()) => {
            read_within(fields, Upstream::default())
        }
        other => read(&foreign(other), Upstream::default()),
    }
}

/// The error that a body holds, if it is OpenAI's, Ollama's or ours.
pub(crate) fn read_error(body: &[u8], upstream: &Upstream) -> Option<Error> {
    match serde_json::from_slice(body).ok()? {
        Value::Object(fields) if fields.get("error").is_some_and(|error| !error.is_null()) => {
            Some(read_within(fields, upstream.clone()))
        }
        _ => None,
    }
}

/// The error in the field `error`: OpenAI's object, or a text, as Ollama has it, with what is ours beside it.
fn read_within(mut fields: Map<String, Value>, upstream: Upstream) -> Error {
    let error = fields.remove("error").unwrap_or_default();
    let is_text = error.is_string();
    let mut foreign = foreign(error);
    if is_text
        && let Some(ours) = fields.remove("synapse")
        && let Ok(mut ours) = serde_json::from_value::<Ours>(ours)
    {
        foreign.code = ours.code.take();
        foreign.param = ours.param.take();
        foreign.synapse = Some(ours);
    }
    read(&foreign, upstream)
}

fn foreign(value: Value) -> Foreign {
    match value {
        Value::String(message) => Foreign {
            message: message.into(),
            ..Foreign::default()
        },
        value => serde_json::from_value(value).unwrap_or_default(),
    }
}

fn read(foreign: &Foreign, upstream: Upstream) -> Error {
    let said = foreign.message.as_str().map(tidy).filter(|said| !said.is_empty());
    let unknown_model =
        upstream.status() == Some(StatusCode::NOT_FOUND) && said.as_deref().is_some_and(names_no_model);
    let code = name(&foreign.code)
        .or_else(|| code_of_type(foreign.kind.as_str()?))
        .or_else(|| unknown_model.then(|| "model_not_found".to_owned()));
    let ours = foreign.synapse.as_ref();
    let mut error = match ours.and_then(|ours| Some((ours, status::kind_of_name(&ours.kind)?))) {
        Some((ours, kind)) => read_ours(ours, kind, code, said, upstream),
        None => {
            let of_type = || foreign.kind.as_str().and_then(status::kind_of_type);
            let of_status = upstream.status().map(status::kind_of_status);
            let kind = of_status.or_else(of_type).unwrap_or(ErrorKind::Broken);
            upstream.into_error(kind, code, said)
        }
    };
    if let Some(param) = foreign.param.as_str().filter(|param| param.len() <= NAME) {
        error = error.with_param(param.to_owned());
    } else if unknown_model {
        error = error.with_param("model");
    }
    error
}

/// An error of another node of ours: what it says stands, but for whom it blames.
fn read_ours(
    ours: &Ours,
    kind: ErrorKind,
    code: Option<String>,
    said: Option<String>,
    upstream: Upstream,
) -> Error {
    let here = status::seen_from_here(kind);
    let code = code.unwrap_or_else(|| "upstream_failed".to_owned());
    let hint = ours.hint.as_deref().map(tidy);
    let message = said.unwrap_or_else(|| "the node says that it failed, and not why".to_owned());
    let message = match hint
        .as_ref()
        .and_then(|hint| message.strip_suffix(&format!("; {hint}")))
    {
        Some(without) => without.to_owned(),
        None => message,
    };
    let after = ours.retry_after_ms.map(Duration::from_millis);
    let upstream = upstream.or_retry_after(after);
    let mut error = upstream.bearing_its_wait(Error::new(here, code, message));
    if let Some(hint) = hint {
        error = error.with_hint(hint);
    }
    match ours.retry.as_str() {
        "never" if here == kind => error.with_retry(Retry::Never),
        // The node itself may answer later, and another one at once.
        "elsewhere" | "after" => error.with_retry(Retry::Elsewhere),
        _ => error,
    }
}

/// Whether a text is Ollama's for a model that it does not have: `model 'x' not found`.
fn names_no_model(said: &str) -> bool {
    said.starts_with("model ") && said.contains(" not found")
}

/// Foreign text without control characters, cut where it is long.
fn tidy(text: &str) -> String {
    text.trim()
        .chars()
        .filter(|char| !char.is_control())
        .take(MESSAGE)
        .collect()
}

/// llama-server's codes are HTTP's, and what went wrong is the type's to say.
fn code_of_type(kind: &str) -> Option<String> {
    (kind == "exceed_context_size_error").then(|| "context_length_exceeded".to_owned())
}

/// A foreign code that can stand for one of ours.
fn name(code: &Value) -> Option<String> {
    let code = code.as_str()?;
    let good = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    (!code.is_empty() && code.len() <= NAME && code.bytes().all(good)).then(|| code.to_owned())
}
