//! What may wait for a block.

use synapse_core::{Error, ErrorKind, NodeId};

use super::{Engine, Shared, Verdict};
use crate::{
    Receipt, SignedTransaction, Transaction, TxHash,
    local::{
        call::{Entry, LocalCall, Taken},
        mempool::{self, Slot},
    },
    transaction::check_local,
};

/// For how many blocks a transaction may be valid. Its receipt is kept for longer.
const LONGEST_VALIDITY: u64 = 128;

impl Engine {
    /// Lets a transaction wait for a block, where it can ever be in one.
    pub(in crate::local) fn admit(&self, signed: SignedTransaction) -> Result<Verdict, Error> {
        let taken = Taken::try_from(signed)?;
        let Transaction {
            chain,
            account,
            nonce,
            valid_until,
            ..
        } = taken.transaction();
        if *chain != self.chain {
            return Err(Error::invalid(
                "wrong_chain",
                format!(
                    "the transaction is for the chain {chain}, and this is {}",
                    self.chain
                ),
            ));
        }
        let slot = Slot {
            account: account.clone(),
            nonce: *nonce,
            valid_until: *valid_until,
        };
        // What costs least comes first, and signatures are verified while others go on.
        self.running()?.check(&slot)?;
        taken.verify()?;
        let (hash, size) = (taken.signed().hash(), taken.signed().size());
        let mut shared = self.running()?;
        let committed = shared.check(&slot)?;
        shared
            .mempool
            .add_signed(Entry::Signed(Box::new(taken)), hash, slot, size, committed)
    }

    /// Lets a call of this process wait for a block.
    pub(in crate::local) fn admit_local(&self, call: LocalCall) -> Result<Verdict, Error> {
        match &call {
            LocalCall::Fund { account, .. } => check_local(account, None)?,
            LocalCall::Act { account, call } => check_local(account, call)?,
            LocalCall::CreateSubnet { .. } => {}
        }
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

impl Shared {
    /// Whether a transaction of this account can still be in a block, or was in one; returns the account's nonce.
    fn check(&self, slot: &Slot) -> Result<u64, Error> {
        let committed = self.nonce(&slot.account);
        if slot.nonce < committed {
            return Err(mempool::replayed(&slot.account, slot.nonce, committed));
        }
        mempool::check_validity(slot, self.head.block, LONGEST_VALIDITY)?;
        if !self.state.knows(&slot.account) {
            return Err(unknown_account(&slot.account));
        }
        Ok(committed)
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
