//! Errors of others, translated: tower's own, and what a panic leaves behind.

use std::{any::Any, error::Error as StdError};

use tower::BoxError;

use super::{Error, ErrorKind};

pub(super) fn from_boxed(error: BoxError) -> Error {
    let error = match error.downcast::<Error>() {
        Ok(ours) => return *ours,
        Err(other) => other,
    };
    // `Buffer` hands the same error to many callers behind an `Arc`: ours sits further down the chain.
    let mut cause: Option<&(dyn StdError + 'static)> = Some(&*error);
    while let Some(current) = cause {
        if let Some(ours) = current.downcast_ref::<Error>() {
            return ours.clone();
        }
        if current.is::<tower::timeout::error::Elapsed>() {
            return Error::new(
                ErrorKind::Timeout,
                "timeout",
                "the request was not answered in time",
            )
            .with_source(error);
        }
        if current.is::<tower::load_shed::error::Overloaded>() {
            return Error::new(ErrorKind::Overloaded, "overloaded", "every place is taken")
                .with_source(error);
        }
        cause = current.source();
    }
    Error::internal("layer_failed", "a layer of the stack failed").with_source(error)
}

pub(super) fn from_panic(payload: &(dyn Any + Send)) -> Error {
    let text = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a panic without a message");
    tracing::error!(panic = text, "a module panicked");
    Error::internal(
        "module_panicked",
        "the module panicked while it handled the request",
    )
}
