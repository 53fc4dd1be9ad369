//! Making blocks.

use std::{collections::BTreeSet, sync::Arc};

use synapse_core::{BlockNumber, Error, SubnetId, WatchSender};

use super::{Engine, Pace, Shared, Turn};
use crate::{
    Head, Outcome, Receipt, TxHash,
    local::{
        apply::Moment,
        block::{Block, Recorded},
        call::Entry,
    },
};

/// Calls that were applied, and what came of them.
type Applied = Vec<(TxHash, Arc<Entry>, Outcome)>;

impl Engine {
    /// Does what waits: at once where blocks come by hand, in a block otherwise. Returns whether it made one: more calls
    /// may wait than a block holds.
    pub(in crate::local) fn work(&self) -> Result<bool, Error> {
        let turn = self.turn();
        if self.pace == Pace::Open {
            turn.apply_at_once();
            return Ok(false);
        }
        turn.make(false)
    }

    /// Makes blocks until nothing waits.
    pub(in crate::local) fn work_off(&self) -> Result<(), Error> {
        while self.work()? {}
        Ok(())
    }

    /// Makes the block that the clock asks for.
    pub(in crate::local) fn tick(&self) -> Result<(), Error> {
        self.turn().make(true).map(|_| ())
    }

    /// Makes blocks by hand.
    pub(crate) fn advance(&self, blocks: u64) -> Result<(), Error> {
        let turn = self.turn();
        if self.pace == Pace::Open {
            turn.step(blocks);
            return Ok(());
        }
        (0..blocks).try_for_each(|_| turn.make(true).map(|_| ()))
    }
}

impl Turn<'_> {
    fn apply_at_once(&self) {
        let mut shared = self.engine.lock();
        let head = shared.head;
        loop {
            let applied = shared.apply_waiting(head.block);
            if applied.is_empty() {
                return;
            }
            shared.commit(head, applied, &self.engine.head);
        }
    }

    fn step(&self, blocks: u64) {
        let mut shared = self.engine.lock();
        let mut head = shared.head;
        for _ in 0..blocks {
            head.block = BlockNumber(head.block.0.saturating_add(1));
            head.time = self.engine.clock.after(head);
            shared.state.enter(head.block);
        }
        head.hash = TxHash::of(format!("{}\n{}", self.engine.genesis, head.block).as_bytes());
        shared.commit(head, Vec::new(), &self.engine.head);
    }

    /// Makes a block of what waits, commits it, and only then tells anybody. Where the commit fails, the state goes
    /// back to the last committed block and the chain halts: what is on disk now is known when it is opened again.
    fn make(&self, even_empty: bool) -> Result<bool, Error> {
        let mut shared = self.engine.lock();
        if let Some(cause) = &*shared.halted.current() {
            return Err(cause.clone());
        }
        let height = BlockNumber(shared.head.block.0 + 1);
        let parent = shared.head;
        let applied = shared.apply_waiting(height);
        if applied.is_empty() && !even_empty {
            return Ok(false);
        }
        shared.state.enter(height);
        let changes = self.engine.store.is_some().then(|| shared.state.changes());
        drop(shared);
        let time = self.engine.clock.after(parent);
        let bytes = block(height, time, parent.hash, &applied).to_bytes();
        let stored = match (&self.engine.store, changes) {
            (Some(store), Some(changes)) => store.commit(height, &bytes, &changes),
            _ => Ok(()),
        };
        let mut shared = self.engine.lock();
        if let Err(error) = stored {
            shared.halt(&error);
            return Err(error);
        }
        let head = Head::new(height, time, TxHash::of(&bytes));
        shared.commit(head, applied, &self.engine.head);
        Ok(true)
    }
}

fn block(height: BlockNumber, time: u64, parent: TxHash, applied: &Applied) -> Block {
    Block {
        height,
        parent,
        time,
        calls: applied
            .iter()
            .map(|(_, call, outcome)| Recorded {
                call: call.clone(),
                outcome: outcome.clone(),
            })
            .collect(),
    }
}

impl Shared {
    /// Applies as many of the waiting calls as a block holds, without committing anything.
    fn apply_waiting(&mut self, block: BlockNumber) -> Applied {
        let calls = self.mempool.take(block);
        let moment = Moment {
            head: self.head.block,
            block,
        };
        calls
            .into_iter()
            .map(|(hash, call)| {
                let outcome = self.state.apply(&call, moment);
                (hash, call, outcome)
            })
            .collect()
    }

    /// What the block changed is so from now on: tells its followers, and then its callers.
    fn commit(&mut self, head: Head, applied: Applied, heads: &WatchSender<Head>) {
        let block = head.block;
        let changed: BTreeSet<SubnetId> = self.state.members.changes().map(|((id, _), _)| *id).collect();
        self.state.commit();
        self.followers.tell(&self.state, &changed, block);
        if self.head != head {
            self.head = head;
            heads.set(head);
        }
        let mut receipts = Vec::with_capacity(applied.len());
        for (hash, call, outcome) in applied {
            let receipt = Receipt::new(hash, block, outcome);
            if matches!(*call, Entry::Signed(_)) {
                self.receipts.keep(receipt.clone());
            }
            receipts.push(receipt);
        }
        self.receipts.forget(block);
        self.mempool.settle(receipts);
    }

    /// Goes back to the last committed block, and makes no more.
    pub(super) fn halt(&mut self, error: &Error) {
        tracing::error!(%error, "the chain halts: a block could not be made");
        self.state.discard();
        let halted = Error::unavailable(
            "chain_halted",
            "the chain makes no blocks since one could not be made",
        )
        .with_hint("see the cause, and open the chain again")
        .with_source(error.clone());
        self.mempool.fail(error, &halted);
        self.halted.set(Some(halted));
    }
}
