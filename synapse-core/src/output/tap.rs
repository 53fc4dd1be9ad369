//! Watching a body.

use crate::{Chunk, Error};

/// Watches a body: every chunk as it is handed on, and exactly one ending.
///
/// Both methods run in the body's poll, so they must be quick and must not block; what has to be written elsewhere
/// goes through a bounded outbox. A tap that panics is logged and does not rob the next.
pub trait Tap: Send + 'static {
    /// The body hands this chunk on.
    fn on_chunk(&mut self, chunk: &Chunk) {
        let _ = chunk;
    }

    /// The body is over; called once, whatever happens.
    fn on_end(&mut self, ending: &Ending);
}

impl<T: Tap + ?Sized> Tap for Box<T> {
    fn on_chunk(&mut self, chunk: &Chunk) {
        (**self).on_chunk(chunk);
    }

    fn on_end(&mut self, ending: &Ending) {
        (**self).on_end(ending);
    }
}

/// How a body ended.
#[derive(Debug, Clone)]
pub enum Ending {
    /// Its last event was handed on.
    Complete,
    /// It failed, or stopped without its last event.
    Broken(Error),
    /// Nobody wants it any more: the client left, or another attempt won.
    Dropped,
}

impl Ending {
    /// A word for logs and metrics: `complete`, `broken` or `dropped`.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Broken(_) => "broken",
            Self::Dropped => "dropped",
        }
    }
}
