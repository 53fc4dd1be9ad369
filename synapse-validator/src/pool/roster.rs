//! The members of a pool, and the snapshot that requests read.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use arc_swap::ArcSwap;
use synapse_core::NodeId;
use tokio::{sync::Notify, time::Instant};

use super::{miner::Miner, snapshot::Snapshot};

/// The members of a pool. Requests read the snapshot, which is replaced when membership or readiness changes.
#[derive(Debug)]
pub(super) struct Roster {
    miners: Mutex<BTreeMap<NodeId, Arc<Miner>>>,
    snapshot: ArcSwap<Snapshot>,
    changed: Notify,
    unreachable: AtomicUsize,
    ejecting: Mutex<()>,
}

impl Roster {
    pub(super) fn new() -> Self {
        Self {
            miners: Mutex::default(),
            snapshot: ArcSwap::from_pointee(Snapshot::empty()),
            changed: Notify::new(),
            unreachable: AtomicUsize::new(0),
            ejecting: Mutex::default(),
        }
    }

    pub(super) fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    /// The members, to be changed by the one task that follows the directory.
    pub(super) fn members(&self) -> MutexGuard<'_, BTreeMap<NodeId, Arc<Miner>>> {
        self.miners.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many are listed and cannot be connected.
    pub(super) fn unreachable(&self) -> usize {
        self.unreachable.load(Ordering::Relaxed)
    }

    pub(super) fn set_unreachable(&self, miners: usize) {
        self.unreachable.store(miners, Ordering::Relaxed);
    }

    /// Makes the snapshot anew.
    pub(super) fn refresh(&self) {
        let miners: Vec<_> = self.members().values().cloned().collect();
        let next = Snapshot::of(miners, &self.snapshot.load());
        self.snapshot.store(Arc::new(next));
    }

    /// Some member's readiness or capabilities changed.
    pub(super) fn note_change(&self) {
        self.changed.notify_one();
    }

    /// Waits for such a change. Several in short order are one. Cancel safe.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// A request failed by this member's fault: ejected where that happens often in a row, and fewer than half of the
    /// members are ejected already (one may always be).
    pub(super) fn note_failure(&self, miner: &Miner) {
        let now = Instant::now();
        if !miner.failed(now) {
            return;
        }
        let _one_at_a_time = self.ejecting.lock().unwrap_or_else(PoisonError::into_inner);
        let snapshot = self.snapshot.load();
        let ejected = snapshot
            .miners
            .iter()
            .filter(|other| other.is_ejected(now))
            .count();
        if ejected < (snapshot.miners.len() / 2).max(1) && !miner.is_ejected(now) {
            miner.eject(now);
        }
    }
}
