//! A request as it came over the wire.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};

use crate::{Dialect, Error, Task, View};

/// A request's bytes, and what is needed to read them.
#[derive(Debug, Clone)]
pub struct Wire {
    dialect: &'static dyn Dialect,
    path: Arc<str>,
    content_type: HeaderValue,
    headers: HeaderMap,
    body: Bytes,
}

impl Wire {
    /// A body of `content_type` for `path` (with its query) in `dialect`.
    pub fn new(
        dialect: &'static dyn Dialect,
        path: impl Into<Arc<str>>,
        content_type: HeaderValue,
        body: impl Into<Bytes>,
    ) -> Self {
        Self {
            dialect,
            path: path.into(),
            content_type,
            headers: HeaderMap::new(),
            body: body.into(),
        }
    }

    /// The same with headers that are to travel with it. The caller decides which: everything else stays behind.
    #[must_use]
    pub fn with_headers(mut self, headers: HeaderMap) -> Self {
        self.headers = headers;
        self
    }

    /// The same with another body.
    #[must_use]
    pub fn with_body(&self, body: Bytes) -> Self {
        Self { body, ..self.clone() }
    }

    /// The format of path and body.
    #[must_use]
    pub fn dialect(&self) -> &'static dyn Dialect {
        self.dialect
    }

    /// The request's path, such as `/v1/chat/completions`, with its query.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The body's content type.
    #[must_use]
    pub fn content_type(&self) -> &HeaderValue {
        &self.content_type
    }

    /// The headers that travel with it.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// The body as it came.
    #[must_use]
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// Whether the body says that it is JSON.
    #[must_use]
    pub fn is_json(&self) -> bool {
        let bytes = self.content_type.as_bytes();
        let essence = bytes
            .split(|byte| *byte == b';')
            .next()
            .unwrap_or_default()
            .trim_ascii();
        essence.eq_ignore_ascii_case(b"application/json")
    }

    pub(super) fn content_type_str(&self) -> &str {
        self.content_type.to_str().unwrap_or("(not text)")
    }
}

/// A wire and the view of it, once somebody looked.
#[derive(Debug)]
pub(super) struct Received {
    wire: Wire,
    view: OnceLock<Result<View, Error>>,
}

impl Received {
    pub(super) fn new(wire: Wire) -> Self {
        Self {
            wire,
            view: OnceLock::new(),
        }
    }

    pub(super) fn wire(&self) -> &Wire {
        &self.wire
    }

    pub(super) fn view(&self, task: &Task) -> Result<&View, Error> {
        self.view
            .get_or_init(|| self.wire.dialect.view(task, &self.wire))
            .as_ref()
            .map_err(Clone::clone)
    }
}
