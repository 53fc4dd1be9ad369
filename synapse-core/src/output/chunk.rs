//! One event of a reply.

use std::{borrow::Cow, slice, sync::OnceLock};

use bytes::Bytes;

use crate::{Delta, Dialect, Error, Event, Framing, Token, Usage};

/// One event of a reply: exactly one complete event with its wire bytes, a native [`Delta`], or a control chunk.
///
/// Where a reply has no framing a chunk is any run of its bytes; a reply that is not streamed is one chunk.
/// A clone of a wire chunk shares its bytes.
#[derive(Debug, Clone)]
pub struct Chunk {
    content: Content,
    last: bool,
}

#[derive(Debug, Clone)]
enum Content {
    Wire {
        bytes: Bytes,
        reader: Option<Reader>,
        view: OnceLock<Result<Box<[Delta]>, Error>>,
    },
    Native(Box<Delta>),
    Control {
        name: Cow<'static, str>,
        payload: Bytes,
    },
}

#[derive(Debug, Clone, Copy)]
struct Reader {
    dialect: &'static dyn Dialect,
    framing: Framing,
}

impl Chunk {
    /// One complete event of a stream, with its terminator.
    pub fn event(bytes: impl Into<Bytes>) -> Self {
        Self::wire_bytes(bytes.into(), None, false)
    }

    /// The event that makes a body complete: `[DONE]`, or a whole reply.
    pub fn last(bytes: impl Into<Bytes>) -> Self {
        Self::wire_bytes(bytes.into(), None, true)
    }

    /// One event in `dialect`: what [`Dialect::event`] says of its bytes decides what it becomes; `None` for a comment.
    ///
    /// # Errors
    /// The server's own error, where the event is one.
    pub fn read(
        bytes: Bytes,
        dialect: &'static dyn Dialect,
        framing: Framing,
    ) -> Result<Option<Self>, Error> {
        let reader = Some(Reader { dialect, framing });
        match dialect.event(&bytes, framing) {
            Event::Data => Ok(Some(Self::wire_bytes(bytes, reader, false))),
            Event::Last => Ok(Some(Self::wire_bytes(bytes, reader, true))),
            Event::Control { name, payload } => Ok(Some(Self::control(name, payload))),
            Event::Comment => Ok(None),
            Event::Failed(error) => Err(error),
        }
    }

    /// What a module in Rust says, for the router to render.
    #[must_use]
    pub fn delta(delta: Delta) -> Self {
        Self {
            content: Content::Native(Box::new(delta)),
            last: false,
        }
    }

    /// What is not for the client: a commitment, the progress of a long job. Client-facing routers drop it.
    pub fn control(name: impl Into<Cow<'static, str>>, payload: impl Into<Bytes>) -> Self {
        Self {
            content: Content::Control {
                name: name.into(),
                payload: payload.into(),
            },
            last: false,
        }
    }

    /// The same as the one that makes the body complete.
    #[must_use]
    pub fn into_last(mut self) -> Self {
        self.last = true;
        self
    }

    fn wire_bytes(bytes: Bytes, reader: Option<Reader>, last: bool) -> Self {
        Self {
            content: Content::Wire {
                bytes,
                reader,
                view: OnceLock::new(),
            },
            last,
        }
    }

    /// Whether the body is complete with it.
    #[must_use]
    pub fn is_last(&self) -> bool {
        self.last
    }

    /// The bytes as they came over the wire; `None` of a native delta or a control chunk.
    #[must_use]
    pub fn wire(&self) -> Option<&Bytes> {
        match &self.content {
            Content::Wire { bytes, .. } => Some(bytes),
            _ => None,
        }
    }

    /// The dialect that its bytes are in; `None` where nobody said, and of a native delta or a control chunk.
    #[must_use]
    pub fn dialect(&self) -> Option<&'static dyn Dialect> {
        match &self.content {
            Content::Wire { reader, .. } => reader.map(|reader| reader.dialect),
            _ => None,
        }
    }

    /// The name and payload of a control chunk.
    #[must_use]
    pub fn as_control(&self) -> Option<(&str, &Bytes)> {
        match &self.content {
            Content::Control { name, payload } => Some((name, payload)),
            _ => None,
        }
    }

    /// What it says, one [`Delta`] a choice; parsed on first use where it came over the wire. Empty for control chunks
    /// and for bytes of no known dialect.
    ///
    /// # Errors
    /// Where the bytes are not what their dialect allows; the same error each time.
    pub fn deltas(&self) -> Result<&[Delta], Error> {
        match &self.content {
            Content::Native(delta) => Ok(slice::from_ref(delta)),
            Content::Wire {
                bytes,
                reader: Some(reader),
                view,
            } => view
                .get_or_init(|| {
                    reader
                        .dialect
                        .deltas(bytes, reader.framing)
                        .map(Vec::into_boxed_slice)
                })
                .as_deref()
                .map_err(Clone::clone),
            _ => Ok(&[]),
        }
    }

    /// The count of tokens in it, as the server claims it. Unreadable bytes claim nothing.
    #[must_use]
    pub fn usage(&self) -> Option<Usage> {
        self.deltas().ok()?.iter().rev().find_map(|delta| delta.usage)
    }

    /// Whether a user waits for it: content, the end, or bytes that nobody here can read.
    #[must_use]
    pub fn has_content(&self) -> bool {
        match &self.content {
            _ if self.last => true,
            Content::Control { .. } => false,
            Content::Native(delta) => delta.has_content(),
            Content::Wire { reader: None, .. } => true,
            Content::Wire { .. } => self
                .deltas()
                .map_or(true, |deltas| deltas.iter().any(Delta::has_content)),
        }
    }

    /// What it costs to hold on to it, in bytes, more or less.
    pub(crate) fn weight(&self) -> usize {
        let held = match &self.content {
            Content::Wire { bytes, .. } => bytes.len(),
            Content::Native(delta) => size_of::<Delta>() + delta.tokens.len() * size_of::<Token>(),
            Content::Control { name, payload } => name.len() + payload.len(),
        };
        held + size_of::<Self>()
    }
}
