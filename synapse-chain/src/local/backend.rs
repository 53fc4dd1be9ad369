//! A chain in this process, as its handles need it.

use std::{sync::Arc, time::Duration};

use synapse_core::{EpochId, Error, NodeId, Stake, SubnetId, Watch, Weights, async_trait};
use tokio::task::JoinHandle;

use super::{
    beat,
    call::LocalCall,
    engine::{Engine, Pace, told},
    mempool::Verdict,
    writer::Writer,
};
use crate::{
    Account, ChainId, Head, Receipt, SignedTransaction, Supply, TxHash,
    backend::{Backend, Followed},
};

/// An engine, and what makes its blocks: a clock, a thread that waits for the disk, or the caller. Ends with its owner:
/// the clock at once, the thread after the block that it is making.
#[derive(Debug)]
pub(super) struct Local {
    engine: Arc<Engine>,
    clock: Option<JoinHandle<()>>,
    writer: Option<Writer>,
}

impl Local {
    pub(super) fn start(engine: Engine, block_time: Option<Duration>, stored: bool) -> Result<Self, Error> {
        let engine = Arc::new(engine);
        let writer = stored.then(|| Writer::start(&engine)).transpose()?;
        let clock = block_time.map(|interval| match &writer {
            Some(writer) => beat::start(interval, writer.ticks()),
            None => beat::start(interval, beat::of(&engine)),
        });
        Ok(Self {
            engine,
            clock,
            writer,
        })
    }

    /// Lets a call that was taken find its way into a block.
    async fn settle(&self, verdict: Verdict) -> Result<Receipt, Error> {
        match &self.writer {
            _ if self.engine.pace() == Pace::Clock => {}
            Some(writer) => writer.work(),
            None => self.engine.work_off()?,
        }
        told(verdict).await
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        if let Some(clock) = &self.clock {
            clock.abort();
        }
    }
}

#[async_trait]
impl Backend for Local {
    fn chain(&self) -> &ChainId {
        self.engine.chain()
    }

    fn head(&self) -> Watch<Head> {
        self.engine.head()
    }

    async fn account(&self, account: &NodeId) -> Result<Account, Error> {
        Ok(self.engine.account(account))
    }

    async fn supply(&self) -> Result<Supply, Error> {
        Ok(self.engine.supply())
    }

    async fn subnets(&self) -> Result<Vec<SubnetId>, Error> {
        Ok(self.engine.subnets())
    }

    async fn follow(&self, subnet: SubnetId) -> Result<Followed, Error> {
        self.engine.follow(subnet)
    }

    fn follow_lazily(&self, subnet: SubnetId) -> Followed {
        self.engine.follow_any(subnet)
    }

    async fn weights(&self, subnet: SubnetId, epoch: EpochId) -> Result<Vec<(NodeId, Weights)>, Error> {
        Ok(self.engine.weights(subnet, epoch))
    }

    async fn payouts(&self, subnet: SubnetId, epoch: EpochId) -> Result<Vec<(NodeId, Stake)>, Error> {
        Ok(self.engine.payouts(subnet, epoch))
    }

    async fn submit(&self, transaction: SignedTransaction) -> Result<Receipt, Error> {
        let hash = transaction.hash();
        match self.engine.admit(transaction) {
            Ok(verdict) => self.settle(verdict).await,
            // The same bytes again: what became of them stays so.
            Err(error) if error.code() == "transaction_replayed" => self.engine.receipt(&hash).ok_or(error),
            Err(error) => Err(error),
        }
    }

    async fn receipt(&self, hash: &TxHash) -> Result<Option<Receipt>, Error> {
        Ok(self.engine.receipt(hash))
    }

    async fn submit_local(&self, call: LocalCall) -> Result<Receipt, Error> {
        let verdict = self.engine.admit_local(call)?;
        self.settle(verdict).await
    }

    fn engine(&self) -> Option<&Arc<Engine>> {
        Some(&self.engine)
    }
}
