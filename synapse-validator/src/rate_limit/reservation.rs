//! What a request reserved, and how it is settled.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use synapse_core::{Deadline, Ending, Tap};
use tokio::time::Instant;

use super::{
    demand::{Cost, Demands},
    store::{Accounts, Receipt, Store},
};
use crate::token_count::Metered;

/// What a request reserved. Its ending gives back what was not used, once.
pub(super) struct Reservation {
    pub(super) _open: Open,
    pub(super) store: Store,
    pub(super) demands: Demands,
    pub(super) receipt: Receipt,
    pub(super) reserved: Cost,
    pub(super) prompt_tokens: u64,
    /// Until when the client waits, where he said so. A node's own deadline is set further in.
    pub(super) deadline: Option<Deadline>,
    pub(super) answered: Answered,
}

/// Whether there was a reply.
pub(super) enum Answered {
    No,
    Yes,
    /// And its tokens are counted.
    Counted(Metered),
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
    fn client_gave_up(&self) -> bool {
        self.deadline
            .is_some_and(|deadline| deadline.instant() <= Instant::now())
    }

    /// What the request is charged for.
    fn used(&self, ending: &Ending) -> Cost {
        let reply = match (&self.answered, ending) {
            (Answered::Counted(reply), _) => reply.count().tokens(),
            (Answered::Yes, _) => 0,
            (Answered::No, Ending::Broken(error)) if error.kind().is_callers_fault() => {
                return Cost {
                    requests: self.reserved.requests,
                    tokens: 0,
                };
            }
            // He gave it up, as one does who leaves.
            (Answered::No, Ending::Broken(_)) if self.client_gave_up() => 0,
            (Answered::No, Ending::Broken(_)) => return Cost::NONE,
            // A layer below panicked: our fault, and not a client that left.
            (Answered::No, _) if std::thread::panicking() => return Cost::NONE,
            (Answered::No, _) => 0,
        };
        Cost {
            requests: self.reserved.requests,
            tokens: self.prompt_tokens.saturating_add(reply),
        }
    }
}

impl Tap for Reservation {
    fn on_end(&mut self, ending: &Ending) {
        let refund = self.reserved.minus(self.used(ending));
        self.store.settle(&self.demands, self.receipt, refund);
    }
}
