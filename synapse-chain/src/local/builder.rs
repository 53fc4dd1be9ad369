//! A chain with a store, a clock or a seed.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use synapse_core::{Error, SystemClock, WallClock};

use super::{
    backend::Local,
    block_clock::{self, BlockClock},
    engine::{Engine, Pace},
    store::{Faults, Genesis, Store},
};
use crate::LocalChain;

/// Configures a [`LocalChain`].
#[derive(Debug, Clone)]
pub struct LocalChainBuilder {
    store: Option<PathBuf>,
    block_time: Option<Duration>,
    seed: Option<u64>,
    seeded_step: Option<Duration>,
    clock: Arc<dyn WallClock>,
    #[cfg(feature = "failpoints")]
    fault: Option<super::StoreFault>,
}

impl LocalChainBuilder {
    pub(crate) fn new() -> Self {
        Self {
            store: None,
            block_time: None,
            seed: None,
            seeded_step: None,
            clock: Arc::new(SystemClock),
            #[cfg(feature = "failpoints")]
            fault: None,
        }
    }

    /// Keeps the chain in a directory, which no other process may use meanwhile, and goes on with the chain that is
    /// there.
    #[must_use]
    pub fn store(mut self, directory: impl AsRef<Path>) -> Self {
        self.store = Some(directory.as_ref().to_owned());
        self
    }

    /// Makes a block each time this passes, at least a millisecond.
    #[must_use]
    pub fn block_time(mut self, interval: Duration) -> Self {
        self.block_time = Some(interval.max(Duration::from_millis(1)));
        self
    }

    /// Makes a new chain's name of the seed, and its blocks' times of their heights: the same calls give the same
    /// blocks. Without a seed the name is random, and blocks say when they were made.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// How far apart the times of a seeded chain's blocks are: its block time unless set, and a second without one. For
    /// blocks that are made by hand before a clock makes the others.
    #[must_use]
    pub fn seeded_step(mut self, step: Duration) -> Self {
        self.seeded_step = Some(step);
        self
    }

    /// Takes the blocks' times from another clock than the machine's.
    #[must_use]
    pub fn clock(mut self, clock: impl WallClock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Breaks the store, for tests.
    #[cfg(feature = "failpoints")]
    #[must_use]
    pub fn fault(mut self, fault: super::StoreFault) -> Self {
        self.fault = Some(fault);
        self
    }

    /// The chain.
    ///
    /// # Errors
    /// `data_dir_locked`, which names the process that has the directory, and what else [`synapse_core::DataDir::open`]
    /// says; `corrupt_store`, `store_too_new`, `disk_full`, `store_unwritable`, `store_failed`; `other_chain` where the
    /// stored one has another seed.
    ///
    /// # Panics
    /// With a block time and outside a tokio runtime.
    pub fn build(self) -> Result<LocalChain, Error> {
        let clock = match self.seed {
            Some(_) => BlockClock::seeded(self.seeded_step.or(self.block_time)),
            None => BlockClock::Wall(self.clock.clone()),
        };
        let time = clock.genesis();
        let genesis = || Ok(Genesis::new(block_clock::name(self.seed)?, time));
        let engine = match &self.store {
            Some(directory) => {
                let store = Store::open(directory, genesis, self.faults())?;
                self.check_seed(&store)?;
                Engine::stored(self.pace(), clock, store)?
            }
            None => Engine::in_memory(self.pace(), clock, &genesis()?),
        };
        let local = Local::start(engine, self.block_time, self.store.is_some())?;
        Ok(LocalChain::of(Arc::new(local)))
    }

    fn pace(&self) -> Pace {
        match (self.block_time, &self.store) {
            (Some(_), _) => Pace::Clock,
            (None, Some(_)) => Pace::Calls,
            (None, None) => Pace::Open,
        }
    }

    fn check_seed(&self, store: &Store) -> Result<(), Error> {
        let stored = &store.genesis().chain;
        match self.seed {
            Some(_) if *stored != block_clock::name(self.seed)? => Err(Error::invalid(
                "other_chain",
                format!("the directory keeps the chain {stored}, which has another seed"),
            )
            .with_hint("leave the seed away, or take another directory")),
            _ => Ok(()),
        }
    }

    #[cfg(feature = "failpoints")]
    fn faults(&self) -> Faults {
        Faults::new(self.fault)
    }

    #[cfg(not(feature = "failpoints"))]
    #[expect(clippy::unused_self, reason = "with faults there is something to ask")]
    fn faults(&self) -> Faults {
        Faults
    }
}
