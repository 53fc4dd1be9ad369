//! A reply that is sent at once.

use std::future::poll_fn;

use axum::{body::Body as HttpBody, response::Response};
use bytes::{Bytes, BytesMut};
use futures_core::Stream;
use http::{HeaderName, HeaderValue, header};
use synapse_core::{Body, Chunk, Error};

use super::api::Options;
use crate::dialect::{Form, Heard, ReplyShape};

/// The longest reply that is held until it is complete, in bytes.
const LONGEST_REPLY: usize = 64 * 1024 * 1024;
/// The longest control chunk that is sent as a header, in bytes.
const LONGEST_CONTROL: usize = 8 * 1024;

/// A reply that is complete, with what is not for the client.
pub(super) struct Whole {
    body: Bytes,
    controls: Vec<(HeaderName, HeaderValue)>,
}

impl Whole {
    pub(super) fn into_response(self, content_type: HeaderValue) -> Response {
        let mut response = Response::new(HttpBody::from(self.body));
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, content_type);
        headers.extend(self.controls);
        response
    }
}

/// Waits for all of a reply: bytes as they are where they are in the client's dialect, and everything else as one JSON
/// document.
pub(super) async fn whole(body: Body, shape: ReplyShape, options: &Options) -> Result<Whole, Error> {
    collect(body, shape, options, false).await
}

/// Waits for all of a stream and folds its events into one JSON document.
pub(super) async fn folded(body: Body, shape: ReplyShape, options: &Options) -> Result<Whole, Error> {
    collect(body, shape, options, true).await
}

async fn collect(mut body: Body, shape: ReplyShape, options: &Options, fold: bool) -> Result<Whole, Error> {
    let form = shape.form();
    let (mut heard, mut writer) = (Heard::new(form), shape.whole());
    let mut wire = Wire::None;
    let mut controls = Vec::new();
    let mut size = 0;
    while let Some(chunk) = poll_fn(|cx| std::pin::Pin::new(&mut body).poll_next(cx)).await {
        let chunk = chunk?;
        if let Some((name, payload)) = chunk.as_control() {
            if options.controls {
                controls.extend(control(name, payload));
            }
            continue;
        }
        size += chunk.wire().map_or(64, Bytes::len);
        if size > LONGEST_REPLY {
            return Err(
                Error::broken("reply_too_large", "the reply is too large to be sent at once")
                    .with_hint("ask for a stream"),
            );
        }
        match chunk.wire() {
            Some(bytes) if !fold && !is_foreign(&chunk, form) => wire.push(bytes),
            _ => heard.deltas(&chunk)?.iter().for_each(|delta| writer.push(delta)),
        }
    }
    let body = match wire {
        Wire::None => writer.finish()?,
        Wire::One(bytes) => bytes,
        Wire::Many(bytes) => bytes.freeze(),
    };
    Ok(Whole { body, controls })
}

/// Whether a chunk came in another dialect than the client speaks.
fn is_foreign(chunk: &Chunk, form: Form) -> bool {
    chunk
        .dialect()
        .and_then(Form::of)
        .is_some_and(|spoken| spoken != form)
}

/// The bytes of a reply; those of one chunk are not copied.
enum Wire {
    None,
    One(Bytes),
    Many(BytesMut),
}

impl Wire {
    fn push(&mut self, more: &Bytes) {
        *self = match std::mem::replace(self, Self::None) {
            Self::None => Self::One(more.clone()),
            Self::One(first) => {
                let mut bytes = BytesMut::from(first);
                bytes.extend_from_slice(more);
                Self::Many(bytes)
            }
            Self::Many(mut bytes) => {
                bytes.extend_from_slice(more);
                Self::Many(bytes)
            }
        };
    }
}

/// A control chunk as a header, where it can be one.
fn control(name: &str, payload: &Bytes) -> Option<(HeaderName, HeaderValue)> {
    let header = HeaderName::try_from(format!("x-synapse-{name}")).ok();
    let value = HeaderValue::from_bytes(payload).ok();
    match (header, value) {
        (Some(header), Some(value)) if value.len() <= LONGEST_CONTROL => Some((header, value)),
        _ => {
            tracing::warn!(
                name,
                bytes = payload.len(),
                "a control chunk cannot be a header, and is left out"
            );
            None
        }
    }
}
