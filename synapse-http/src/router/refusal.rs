//! Errors, as HTTP says them.

use axum::response::Response;
use http::{HeaderValue, StatusCode, header};
use synapse_core::Error;

use super::rate_limit;
use crate::{
    dialect::{ollama, openai},
    status::{retry_after, status},
};

/// The reply that says `error`: its status, OpenAI's body, and when to come back and what is left where that is known. The error itself is
/// among its extensions, for [`in_ollamas_words`].
pub(crate) fn refusal(error: &Error) -> Response {
    let mut response = Response::new(openai::error_body(error).into());
    *response.status_mut() = status_of(error);
    response.extensions_mut().insert(error.clone());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(seconds) = retry_after(error) {
        headers.insert(header::RETRY_AFTER, seconds);
    }
    rate_limit::say_refused(headers, error);
    response
}

/// The same refusal as Ollama's clients read it, where `response` is one.
pub(super) fn in_ollamas_words(mut response: Response) -> Response {
    if let Some(error) = response.extensions_mut().remove::<Error>() {
        *response.body_mut() = ollama::error_body(&error).into();
    }
    response
}

/// The status of the error's kind; HTTP has closer words for what went wrong in HTTP itself.
fn status_of(error: &Error) -> StatusCode {
    match error.code() {
        "method_not_allowed" => StatusCode::METHOD_NOT_ALLOWED,
        "request_timeout" => StatusCode::REQUEST_TIMEOUT,
        "unsupported_content_type" | "unsupported_encoding" => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        _ => status(error.kind()),
    }
}
