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
    tap: Option<Box<dyn Tap>>,
    /// It panicked on a chunk: it is shown no more of them, and still gets its ending.
    failed: bool,
}

impl Guarded {
    pub(super) fn new(tap: impl Tap) -> Self {
        Self {
            tap: Some(Box::new(tap)),
            failed: false,
        }
    }

    pub(super) fn on_chunk(&mut self, chunk: &Chunk) {
        let Some(tap) = self.tap.as_mut().filter(|_| !self.failed) else {
            return;
        };
        if caught(|| tap.on_chunk(chunk)).is_err() {
            self.failed = true;
            tracing::error!("a tap panicked on a chunk; it is shown no more, and still gets its ending");
        }
    }

    /// Tells the tap, once, and lets it go: what it held is free from here on, however long the body is kept.
    pub(super) fn on_end(&mut self, ending: &Ending) {
        if let Some(tap) = self.tap.take() {
            end(tap, ending);
        }
    }
}

/// Tells `tap` its ending and lets it go; a panic of either is logged.
pub(super) fn end(mut tap: impl Tap, ending: &Ending) {
    let told = caught(|| tap.on_end(ending));
    let freed = caught(|| drop(tap));
    if told.and(freed).is_err() {
        tracing::error!("a tap panicked at the end of a body");
    }
}
