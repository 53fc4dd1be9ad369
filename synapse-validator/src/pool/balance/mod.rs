//! Which member to ask.

mod load;
mod p2c;
mod peak_ewma;

use std::{fmt, sync::Arc};

use synapse_core::NodeId;

pub use self::{
    load::{Load, Meter, Observation},
    p2c::P2c,
    peak_ewma::PeakEwma,
};
use super::miner::Miner;

/// Chooses which member to ask. [`P2c`] is one; a subnet with tiers or regions may have its own.
pub trait Balance: fmt::Debug + Send + Sync + 'static {
    /// The meter of a member that just joined.
    fn meter(&self) -> Box<dyn Meter>;

    /// The index of an [open](Candidates::is_open) candidate, `None` where no candidate is open. Called on every
    /// request, so quick; going through all candidates is not.
    fn pick(&self, candidates: &Candidates<'_>) -> Option<usize>;
}

/// The members that serve what is asked.
pub struct Candidates<'a> {
    miners: &'a [Arc<Miner>],
    open: &'a dyn Fn(usize, &Miner) -> bool,
}

impl<'a> Candidates<'a> {
    pub(super) fn new(miners: &'a [Arc<Miner>], open: &'a dyn Fn(usize, &Miner) -> bool) -> Self {
        Self { miners, open }
    }

    /// How many there are, open or not.
    #[must_use]
    pub fn len(&self) -> usize {
        self.miners.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.miners.is_empty()
    }

    /// Whether this one can be asked: it was not tried yet for this request, is not excluded, and not ejected. False
    /// out of range.
    #[must_use]
    pub fn is_open(&self, index: usize) -> bool {
        self.miners
            .get(index)
            .is_some_and(|miner| (self.open)(index, miner))
    }

    /// How loaded this one is: as its [`Meter`] says, times how much busier it says that it is. Infinite out of range.
    #[must_use]
    pub fn load(&self, index: usize) -> f64 {
        self.miners.get(index).map_or(f64::INFINITY, |miner| miner.load())
    }

    /// Who this one is.
    #[must_use]
    pub fn node(&self, index: usize) -> Option<&NodeId> {
        self.miners.get(index).map(|miner| miner.node())
    }
}

impl fmt::Debug for Candidates<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Candidates")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}
