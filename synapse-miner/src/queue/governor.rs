//! How whoever stands outside of a queue sets how many of its places are used.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use super::line::Line;

/// An extension of the input, by which a layer outside of a queue finds that queue and allows it so many places.
#[derive(Debug, Clone)]
pub(crate) struct Governor(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    allowed: AtomicUsize,
    line: OnceLock<Arc<Line>>,
}

impl Governor {
    pub(crate) fn allowing(places: usize) -> Self {
        Self(Arc::new(Inner {
            allowed: AtomicUsize::new(places),
            line: OnceLock::new(),
        }))
    }

    /// Whether a queue follows it.
    pub(crate) fn is_followed(&self) -> bool {
        self.0.line.get().is_some()
    }

    /// How many places that queue uses, how many of them are taken, and how many requests wait.
    pub(crate) fn seen(&self) -> Option<(usize, usize, usize)> {
        let now = self.0.line.get()?.snapshot();
        Some((now.places, now.in_flight, now.waiting))
    }

    /// Allows so many places from now on.
    pub(crate) fn allow(&self, places: usize) {
        if self.0.allowed.swap(places, Relaxed) != places
            && let Some(line) = self.0.line.get()
        {
            line.set_allowed(places);
        }
    }

    /// Follows it from now on. A governor has one line: the first.
    pub(super) fn lead(&self, line: &Arc<Line>) {
        if self.0.line.get().is_none() && self.0.line.set(line.clone()).is_ok() {
            line.set_allowed(self.0.allowed.load(Relaxed));
        }
    }
}
