//! What may wait for a block.

use synapse_core::{Error, ErrorKind, NodeId};

use super::{Engine, Shared, Verdict};
use crate::{
    Receipt, SignedTransaction, Transaction, TxHash,
    local::{
        call::{Entry, LocalCall},
        mempool::{self, Slot},
    },
};

/// For how many blocks a transaction may be valid. Its receipt is kept for longer.
const LONGEST_VALIDITY: u64 = 128;

impl Engine {
    /// Lets a transaction wait for a block, where it can ever be in one.
    pub(in crate::local) fn admit(&self, signed: SignedTransaction) -> Result<Verdict, Error> {
        let Transaction {
            chain,
            account,
            nonce,
            valid_until,
            ..
        } = signed.verify()?;
        if chain != self.chain {
            return Err(Error::invalid(
                "wrong_chain",
                format!(
                    "the transaction is for the chain {chain}, and this is {}",
                    self.chain
                ),
            ));
        }
        let slot = Slot {
            account,
            nonce,
            valid_until,
        };
        let (hash, size) = (signed.hash(), signed.size());
        let mut shared = self.running()?;
        let committed = shared.nonce(&slot.account);
        if nonce >= committed {
            mempool::check_validity(&slot, shared.head.block, LONGEST_VALIDITY)?;
        }
        if !shared.state.knows(&slot.account) {
            return Err(unknown_account(&slot.account));
        }
        shared
            .mempool
            .add_signed(Entry::Signed(signed), hash, slot, size, committed)
    }

    /// Lets a call of this process wait for a block.
    pub(in crate::local) fn admit_local(&self, call: LocalCall) -> Result<Verdict, Error> {
        let entry = Entry::Local(call);
        let hash = TxHash::of(&serde_json::to_vec(&entry).expect("calls have string keys only"));
        self.running()?.mempool.add_local(entry, hash)
    }

    /// Does a call of this process, in a block that is made now.
    pub(crate) fn do_now(&self, call: LocalCall) -> Result<(), Error> {
        let mut verdict = self.admit_local(call)?;
        loop {
            self.work()?;
            match verdict.try_recv() {
                Ok(verdict) => return verdict?.outcome.into_result().map(|_| ()),
                // Others were before it, more than a block holds.
                Err(tokio::sync::oneshot::error::TryRecvError::Empty) => {}
                Err(tokio::sync::oneshot::error::TryRecvError::Closed) => return Err(closed()),
            }
        }
    }

    fn running(&self) -> Result<std::sync::MutexGuard<'_, Shared>, Error> {
        let shared = self.lock();
        match &*shared.halted.current() {
            None => Ok(shared),
            Some(cause) => Err(cause.clone()),
        }
    }
}

/// What became of a call.
pub(in crate::local) async fn told(verdict: Verdict) -> Result<Receipt, Error> {
    verdict.await.unwrap_or_else(|_| Err(closed()))
}

fn closed() -> Error {
    Error::unavailable(
        "chain_closed",
        "the chain was closed before a block held the call",
    )
}

fn unknown_account(account: &NodeId) -> Error {
    Error::new(
        ErrorKind::NotFound,
        "unknown_account",
        format!("the chain does not know {account}: it holds nothing, signed nothing, and is no member"),
    )
    .with_hint("give it some balance first")
}
