//! Who makes the blocks: a clock, a thread that waits for the disk, or the caller.

use std::{
    sync::{
        Arc, Weak,
        mpsc::{SyncSender, TrySendError, sync_channel},
    },
    thread,
    time::Duration,
};

use synapse_core::{EpochId, Error, NodeId, Stake, SubnetId, Watch, Weights, async_trait};
use tokio::{
    task::JoinHandle,
    time::{Instant, MissedTickBehavior, interval_at},
};

use super::{
    call::LocalCall,
    engine::{Engine, Pace, told},
    mempool::Verdict,
};
use crate::{
    Account, ChainId, Head, Receipt, SignedTransaction, Supply, TxHash,
    backend::{Backend, Followed},
};

/// An engine, and what makes its blocks. Ends with its owner: the clock at once, the thread after the block that it is
/// making.
#[derive(Debug)]
pub(super) struct Local {
    engine: Arc<Engine>,
    clock: Option<JoinHandle<()>>,
    writer: Option<Writer>,
}

/// The thread that makes blocks which have to be written.
#[derive(Debug)]
struct Writer {
    wishes: SyncSender<Wish>,
    thread: Option<thread::JoinHandle<()>>,
}

#[derive(Debug, Clone, Copy)]
enum Wish {
    Work,
    Tick,
    End,
}

impl Local {
    pub(super) fn start(engine: Engine, block_time: Option<Duration>, stored: bool) -> Result<Self, Error> {
        let engine = Arc::new(engine);
        let writer = stored.then(|| Writer::start(&engine)).transpose()?;
        let clock = block_time.map(|interval| match &writer {
            Some(writer) => {
                let wishes = writer.wishes.clone();
                tokio::spawn(beat(interval, move || wish_for_tick(&wishes)))
            }
            None => {
                let engine = Arc::downgrade(&engine);
                tokio::spawn(beat(interval, move || tick(&engine)))
            }
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
            // A wish that waits already is taken after this call came, and finds it too.
            Some(writer) => drop(writer.wishes.try_send(Wish::Work)),
            None => work_off(&self.engine)?,
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

impl Writer {
    fn start(engine: &Arc<Engine>) -> Result<Self, Error> {
        let engine = engine.clone();
        let (wishes, wished) = sync_channel(1);
        let run = move || {
            while let Ok(wish) = wished.recv() {
                let done = match wish {
                    Wish::Work => work_off(&engine),
                    Wish::Tick => engine.tick(),
                    Wish::End => return,
                };
                if let Err(error) = done {
                    tracing::debug!(%error, "no block was made");
                }
            }
        };
        let thread = thread::Builder::new()
            .name("chain-writer".to_owned())
            .spawn(run)
            .map_err(|error| {
                Error::internal(
                    "no_thread",
                    "the thread that writes the chain's blocks did not start",
                )
                .with_source(error)
            })?;
        Ok(Self {
            wishes,
            thread: Some(thread),
        })
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // The thread takes its wishes one by one, and ended by itself only if it panicked.
        let _ = self.wishes.send(Wish::End);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that writes the chain's blocks panicked");
        }
    }
}

/// Makes blocks until nothing waits.
fn work_off(engine: &Engine) -> Result<(), Error> {
    while engine.work()? {}
    Ok(())
}

/// Asks for a block each time the interval passes. Never holds on to the engine, so that its store is closed when its
/// owner is dropped.
async fn beat(interval: Duration, mut ask: impl FnMut() -> bool) {
    let mut ticks = interval_at(Instant::now() + interval, interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if !ask() {
            return;
        }
    }
}

/// Makes the clock's block; returns whether there is still somebody to make one for.
fn tick(engine: &Weak<Engine>) -> bool {
    let Some(engine) = engine.upgrade() else {
        return false;
    };
    if let Err(error) = engine.tick() {
        tracing::debug!(%error, "no block was made");
    }
    true
}

/// Asks the thread for the clock's block. One that takes longer than the interval makes the next one late.
fn wish_for_tick(wishes: &SyncSender<Wish>) -> bool {
    !matches!(wishes.try_send(Wish::Tick), Err(TrySendError::Disconnected(_)))
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
        let verdict = self.engine.admit(transaction)?;
        self.settle(verdict).await
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
