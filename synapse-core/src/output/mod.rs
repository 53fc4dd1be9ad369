//! What a module answers.

mod body;
mod chunk;
mod delta;
mod guard;
mod pending;
mod queue_wait;
mod rate_limit;
mod tap;
mod transform;

use std::fmt;

use http::{Extensions, HeaderValue};

pub use self::{
    body::Body,
    chunk::Chunk,
    delta::{Alternative, Delta, FinishReason, Logprobs, Token, ToolCall, Usage},
    pending::Pending,
    queue_wait::QueueWait,
    rate_limit::{RateLimitStatus, RateLimited, WindowStatus},
    tap::{Ending, Tap},
    transform::Transform,
};
use crate::NodeId;

/// What a module answers: a head that is known at once, and a body of [`Chunk`]s.
///
/// Dropping an output cancels the work behind it.
#[derive(Debug)]
pub struct Output {
    /// Who served it, and what it is.
    pub head: Head,
    /// The reply.
    pub body: Body,
}

impl Output {
    /// An output with an empty head.
    #[must_use]
    pub fn new(body: Body) -> Self {
        Self {
            head: Head::default(),
            body,
        }
    }

    /// The same with another head.
    #[must_use]
    pub fn with_head(mut self, head: Head) -> Self {
        self.head = head;
        self
    }

    /// The same with `change` made to its body, such as a [`Transform`].
    #[must_use]
    pub fn map_body(self, change: impl FnOnce(Body) -> Body) -> Self {
        Self {
            head: self.head,
            body: change(self.body),
        }
    }
}

/// Who served an output, and what it is.
#[derive(Clone, Default)]
pub struct Head {
    served_by: Option<NodeId>,
    content_type: Option<HeaderValue>,
    extensions: Extensions,
}

impl Head {
    /// The same, served by `node`.
    #[must_use]
    pub fn with_served_by(mut self, node: NodeId) -> Self {
        self.served_by = Some(node);
        self
    }

    /// The same with the content type of the wire bytes in the body.
    #[must_use]
    pub fn with_content_type(mut self, content_type: HeaderValue) -> Self {
        self.content_type = Some(content_type);
        self
    }

    /// Who served it, where a pool chose among several.
    #[must_use]
    pub fn served_by(&self) -> Option<&NodeId> {
        self.served_by.as_ref()
    }

    /// The content type of wire bytes; `None` where the body holds native deltas, which the router renders.
    #[must_use]
    pub fn content_type(&self) -> Option<&HeaderValue> {
        self.content_type.as_ref()
    }

    /// What layers say about this output.
    #[must_use]
    pub fn extensions(&self) -> &Extensions {
        &self.extensions
    }

    /// As [`extensions`](Head::extensions), to write.
    pub fn extensions_mut(&mut self) -> &mut Extensions {
        &mut self.extensions
    }
}

impl fmt::Debug for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Head")
            .field("served_by", &self.served_by)
            .field("content_type", &self.content_type)
            .finish_non_exhaustive()
    }
}
