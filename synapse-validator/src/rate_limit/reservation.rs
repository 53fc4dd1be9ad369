//! What a request reserved, and how it is settled.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use synapse_core::{Chunk, Ending, Tap};

use super::limiter::{Cost, Key, Limiter};
use crate::token_count::CompletionMeter;

/// What a request reserved. Its ending gives back what was not used, once.
pub(super) struct Reservation {
    pub(super) _open: Open,
    pub(super) limiter: Arc<Limiter>,
    pub(super) key: Key,
    pub(super) reserved: Cost,
    pub(super) prompt_tokens: u64,
    pub(super) meter: CompletionMeter,
    pub(super) answered: bool,
}

/// Counts a reservation for as long as it is open.
pub(super) struct Open(Arc<AtomicU64>);

impl Open {
    pub(super) fn new(count: &Arc<AtomicU64>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Reservation {
    /// What the request is charged for.
    fn used(&mut self, ending: &Ending) -> Cost {
        let nothing = Cost {
            requests: 0,
            tokens: 0,
        };
        match ending {
            Ending::Broken(error) if !self.answered && error.kind().is_callers_fault() => Cost {
                requests: self.reserved.requests,
                tokens: 0,
            },
            Ending::Broken(_) if !self.answered => nothing,
            // A layer below panicked: our fault, and not a client that left.
            Ending::Dropped if !self.answered && std::thread::panicking() => nothing,
            _ => Cost {
                requests: self.reserved.requests,
                tokens: self.prompt_tokens.saturating_add(self.meter.count().tokens()),
            },
        }
    }
}

impl Tap for Reservation {
    fn on_chunk(&mut self, chunk: &Chunk) {
        if self.reserved.tokens > 0 {
            self.meter.add(chunk);
        }
    }

    fn on_end(&mut self, ending: &Ending) {
        let used = self.used(ending);
        self.limiter.refund(
            &self.key,
            Cost {
                requests: self.reserved.requests.saturating_sub(used.requests),
                tokens: self.reserved.tokens.saturating_sub(used.tokens),
            },
        );
    }
}
