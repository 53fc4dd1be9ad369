//! Failures, as a chain says them over HTTP: `{"error": {"kind", "code", "message", "hint"}}`.

use axum::response::Response;
use http::{HeaderValue, StatusCode, header};
use serde::{Deserialize, Serialize};
use synapse_core::Error;
use synapse_http::status;

use crate::Refusal;

#[derive(Serialize, Deserialize)]
struct Problem {
    error: Refusal,
}

/// The reply that says `error`.
pub(super) fn reply(error: &Error) -> Response {
    let problem = Problem {
        error: Refusal::from(error),
    };
    let body = serde_json::to_vec(&problem).expect("text is JSON");
    let mut response = Response::new(body.into());
    *response.status_mut() = match error.code() {
        "method_not_allowed" => StatusCode::METHOD_NOT_ALLOWED,
        _ => status::status(error.kind()),
    };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(seconds) = status::retry_after(error) {
        headers.insert(header::RETRY_AFTER, seconds);
    }
    response
}

/// What a reply that failed says.
pub(super) fn read(code: StatusCode, body: &[u8]) -> Error {
    match serde_json::from_slice(body) {
        Ok(Problem { error }) => error.into(),
        Err(_) => Error::broken(
            "not_a_chain",
            format!("the server answered {code}, and not as a chain does"),
        )
        .with_hint("check that the address is a chain's"),
    }
}
