//! The engine: takes calls, makes blocks, commits them, and tells whoever waits.
//!
//! Two locks. Whoever makes a block has its [`Turn`] from its first call to its commit. `shared` is held only while calls
//! are taken or applied, never during a write to disk: readers meanwhile see the last committed block.

mod admission;
mod make;
mod read;
mod turn;

use std::sync::{Mutex, MutexGuard, PoisonError};

use synapse_core::{BlockNumber, Error, Watch, WatchSender};

use super::{
    block_clock::BlockClock,
    followers::Followers,
    mempool::{Mempool, Verdict},
    receipts::Receipts,
    replay,
    state::State,
    store::{Genesis, Store},
};
use crate::{ChainId, Head, TxHash};

pub(super) use self::{admission::told, turn::Turn};

/// When a block is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pace {
    /// By hand; calls take effect in the newest block, at once.
    Open,
    /// With the calls that wait.
    Calls,
    /// By a clock, empty ones too.
    Clock,
}

/// A chain in this process.
#[derive(Debug)]
pub(crate) struct Engine {
    chain: ChainId,
    pace: Pace,
    /// Only whoever has its turn writes to it.
    store: Option<Store>,
    clock: BlockClock,
    genesis: TxHash,
    turn: Mutex<()>,
    shared: Mutex<Shared>,
    head: WatchSender<Head>,
}

/// What is read while a block is made.
#[derive(Debug)]
struct Shared {
    state: State,
    mempool: Mempool,
    receipts: Receipts,
    followers: Followers,
    head: Head,
    /// Why no block is made any more.
    halted: WatchSender<Option<Error>>,
}

impl Engine {
    pub(super) fn in_memory(pace: Pace, clock: BlockClock, genesis: &Genesis) -> Self {
        let head = Head::new(BlockNumber(0), genesis.time, genesis.hash());
        Self::new(pace, clock, genesis, None, State::default(), head)
    }

    pub(super) fn stored(pace: Pace, clock: BlockClock, store: Store) -> Result<Self, Error> {
        let tip = store.tip()?;
        let state = store.state()?;
        let genesis = store.genesis().clone();
        let head = Head::new(tip.height, tip.time, tip.hash);
        let receipts = replay::recent_receipts(&store, tip.height)?;
        let engine = Self::new(pace, clock, &genesis, Some(store), state, head);
        engine.lock().receipts = receipts;
        Ok(engine)
    }

    fn new(
        pace: Pace,
        clock: BlockClock,
        genesis: &Genesis,
        store: Option<Store>,
        state: State,
        head: Head,
    ) -> Self {
        let mut followers = Followers::default();
        followers.tell(&state, &std::collections::BTreeSet::new(), head.block);
        Self {
            chain: genesis.chain.clone(),
            pace,
            store,
            clock,
            genesis: genesis.hash(),
            turn: Mutex::new(()),
            shared: Mutex::new(Shared {
                state,
                mempool: Mempool::default(),
                receipts: Receipts::default(),
                followers,
                head,
                halted: Watch::channel(None).0,
            }),
            head: Watch::channel(head).0,
        }
    }

    pub(super) fn pace(&self) -> Pace {
        self.pace
    }

    /// Does every stored block again, and compares.
    pub(crate) fn verify(&self) -> Result<u64, Error> {
        let _still = self.turn();
        match &self.store {
            Some(store) => replay::verify(store),
            None => Err(
                Error::unsupported("no_store", "a chain in memory keeps no blocks to do again")
                    .with_hint("open one in a directory"),
            ),
        }
    }

    /// A block as it was written; `None` where it was not, as in memory.
    #[cfg(feature = "remote")]
    pub(crate) fn block(&self, height: BlockNumber) -> Result<Option<Vec<u8>>, Error> {
        match &self.store {
            Some(store) => store.block(height),
            None => Ok(None),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        // Where a block panics halfway the chain halts, and its state goes back to the last committed block.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
