//! What wants more replicas, or fewer.

use crate::QueueLayer;

/// What stands before a [`ReplicaSet`](super::ReplicaSet): it knows how many wait, and is told how many need not.
pub trait Demand: Send + Sync + 'static {
    /// How many requests wait now.
    fn waiting(&self) -> usize;

    /// The replicas work on so many requests at once from now on.
    fn set_places(&self, places: usize);
}

impl Demand for QueueLayer {
    fn waiting(&self) -> usize {
        self.waiting()
    }

    fn set_places(&self, places: usize) {
        self.set_places(places);
    }
}
