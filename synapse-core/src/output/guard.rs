//! Panics, caught at the two places where code of others runs inside a body.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::{Chunk, Ending, Tap};
use crate::Error;

/// Runs `poll`, or says what its panic left behind.
pub(super) fn caught<T>(poll: impl FnOnce() -> T) -> Result<T, Error> {
    catch_unwind(AssertUnwindSafe(poll)).map_err(|payload| Error::from_panic(&*payload))
}

/// A tap that cannot take others down with it.
pub(super) struct Guarded {
    tap: Box<dyn Tap>,
    ended: bool,
}

impl Guarded {
    pub(super) fn new(tap: impl Tap) -> Self {
        Self {
            tap: Box::new(tap),
            ended: false,
        }
    }

    pub(super) fn on_chunk(&mut self, chunk: &Chunk) {
        if caught(|| self.tap.on_chunk(chunk)).is_err() {
            tracing::error!("a tap panicked on a chunk; it still gets its ending");
        }
    }

    pub(super) fn on_end(&mut self, ending: &Ending) {
        if !std::mem::replace(&mut self.ended, true) && caught(|| self.tap.on_end(ending)).is_err() {
            tracing::error!("a tap panicked at the end of a body");
        }
    }
}
