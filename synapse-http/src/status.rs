//! One table of failures: our kind, its HTTP status, and OpenAI's type.
//!
//! | kind | status | OpenAI's type |
//! | --- | --- | --- |
//! | invalid, unsupported | 400 | `invalid_request_error` |
//! | unauthenticated | 401 | `authentication_error` |
//! | payment required | 402 | `insufficient_quota` |
//! | forbidden | 403 | `permission_error` |
//! | not found | 404 | `invalid_request_error` |
//! | too large | 413 | `invalid_request_error` |
//! | rate limited | 429 | `rate_limit_error` |
//! | internal | 500 | `server_error` |
//! | broken | 502 | `server_error` |
//! | overloaded | 503 | `overloaded_error` |
//! | unavailable | 503 | `server_error` |
//! | timeout | 504 | `timeout_error` |

use std::time::Duration;

use http::{HeaderValue, StatusCode};
use synapse_core::{Error, ErrorKind};

/// The status with which a reply of this kind of failure leaves.
#[must_use]
pub fn status(kind: ErrorKind) -> StatusCode {
    match kind {
        ErrorKind::Invalid | ErrorKind::Unsupported => StatusCode::BAD_REQUEST,
        ErrorKind::Unauthenticated => StatusCode::UNAUTHORIZED,
        ErrorKind::PaymentRequired => StatusCode::PAYMENT_REQUIRED,
        ErrorKind::Forbidden => StatusCode::FORBIDDEN,
        ErrorKind::NotFound => StatusCode::NOT_FOUND,
        ErrorKind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        ErrorKind::RateLimited => StatusCode::TOO_MANY_REQUESTS,
        ErrorKind::Broken => StatusCode::BAD_GATEWAY,
        ErrorKind::Overloaded | ErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        ErrorKind::Timeout => StatusCode::GATEWAY_TIMEOUT,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// The `type` of OpenAI's error object for this kind of failure.
#[must_use]
pub fn openai_type(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::Invalid | ErrorKind::Unsupported | ErrorKind::NotFound | ErrorKind::TooLarge => {
            "invalid_request_error"
        }
        ErrorKind::Unauthenticated => "authentication_error",
        ErrorKind::PaymentRequired => "insufficient_quota",
        ErrorKind::Forbidden => "permission_error",
        ErrorKind::RateLimited => "rate_limit_error",
        ErrorKind::Overloaded => "overloaded_error",
        ErrorKind::Timeout => "timeout_error",
        _ => "server_error",
    }
}

/// What `Retry-After` should say of an error: whole seconds, rounded up, at least 1. `None` where nobody knows.
///
/// The error says it itself, or an upstream said it to whoever asked for us: see [`Error::retry_after`].
#[must_use]
pub fn retry_after(error: &Error) -> Option<HeaderValue> {
    let after = error.retry_after()?;
    let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
    Some(HeaderValue::from(seconds.max(1)))
}

/// What a status of somebody else's server says, seen from the one who asked it for somebody else.
///
/// Who asked us is not to blame where the server refuses *our* key (401, 402, 403) or *our* rate (429): somebody else may
/// answer. A fault of the request itself stays the client's.
pub(crate) fn kind_of_status(status: StatusCode) -> ErrorKind {
    match status.as_u16() {
        401..=403 | 407 | 409 | 421 | 423 | 425 | 503 => ErrorKind::Unavailable,
        404 => ErrorKind::NotFound,
        408 | 504 => ErrorKind::Timeout,
        413 => ErrorKind::TooLarge,
        429 | 529 => ErrorKind::Overloaded,
        501 => ErrorKind::Unsupported,
        400..=499 => ErrorKind::Invalid,
        _ => ErrorKind::Broken,
    }
}

/// A kind that another node of ours named, seen from the one who asked it for somebody else.
pub(crate) fn seen_from_here(kind: ErrorKind) -> ErrorKind {
    match kind {
        ErrorKind::Unauthenticated | ErrorKind::Forbidden | ErrorKind::PaymentRequired => {
            ErrorKind::Unavailable
        }
        ErrorKind::RateLimited => ErrorKind::Overloaded,
        other => other,
    }
}

/// `Retry-After` in seconds; dates are not read, since clocks differ. Capped at an hour.
pub(crate) fn read_retry_after(value: &HeaderValue) -> Option<Duration> {
    let seconds: u64 = value.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds.min(3600)))
}

const NAMES: [(&str, ErrorKind); 13] = [
    ("invalid", ErrorKind::Invalid),
    ("unauthenticated", ErrorKind::Unauthenticated),
    ("forbidden", ErrorKind::Forbidden),
    ("not_found", ErrorKind::NotFound),
    ("too_large", ErrorKind::TooLarge),
    ("unsupported", ErrorKind::Unsupported),
    ("rate_limited", ErrorKind::RateLimited),
    ("payment_required", ErrorKind::PaymentRequired),
    ("overloaded", ErrorKind::Overloaded),
    ("timeout", ErrorKind::Timeout),
    ("unavailable", ErrorKind::Unavailable),
    ("broken", ErrorKind::Broken),
    ("internal", ErrorKind::Internal),
];

/// The kind's name, as it travels and as metrics label it.
#[must_use]
pub fn name(kind: ErrorKind) -> &'static str {
    NAMES
        .iter()
        .find(|(_, known)| *known == kind)
        .map_or("internal", |(name, _)| name)
}

pub(crate) fn kind_of_name(name: &str) -> Option<ErrorKind> {
    NAMES
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, kind)| *kind)
}

pub(crate) fn kind_of_type(name: &str) -> Option<ErrorKind> {
    Some(match name {
        "invalid_request_error" => ErrorKind::Invalid,
        "rate_limit_error" | "overloaded_error" => ErrorKind::Overloaded,
        "timeout_error" => ErrorKind::Timeout,
        "authentication_error" | "permission_error" | "insufficient_quota" => ErrorKind::Unavailable,
        _ => return None,
    })
}
