//! Doing stored blocks again.

use std::collections::BTreeMap;

use synapse_core::{BlockNumber, Error};

use super::{
    apply::Moment,
    block::{Block, MOST_CALLS},
    call::Entry,
    receipts::{KEPT_BLOCKS, Receipts},
    state::State,
    store::{Store, corrupt},
};
use crate::{ChainId, Receipt};

/// The receipts of the last blocks.
pub(super) fn recent_receipts(store: &Store, head: BlockNumber) -> Result<Receipts, Error> {
    let mut receipts = Receipts::default();
    let first = BlockNumber(head.0.saturating_sub(KEPT_BLOCKS - 1));
    store.each_block(first, |block, _| {
        for recorded in block.calls {
            if let Entry::Signed(taken) = &*recorded.call {
                receipts.keep(Receipt::new(
                    taken.signed().hash(),
                    block.height,
                    recorded.outcome,
                ));
            }
        }
        Ok(())
    })?;
    receipts.forget(head);
    Ok(receipts)
}

/// Does every block again from genesis: signatures, nonces, outcomes, the chain of digests, and in the end every byte
/// of the state.
pub(super) fn verify(store: &Store) -> Result<u64, Error> {
    let genesis = store.genesis();
    let mut state = State::default();
    let mut entries: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
    let (mut height, mut parent) = (BlockNumber(0), genesis.hash());
    store.each_block(BlockNumber(0), |block, hash| {
        if block.height.0 != height.0 + 1 || block.parent != parent {
            return Err(corrupt(&format!(
                "block {} does not follow block {height}",
                block.height
            )));
        }
        redo(&mut state, &block, &genesis.chain, height)?;
        for (key, value) in state.changes() {
            match value {
                Some(value) => entries.insert(key, value),
                None => entries.remove(&key),
            };
        }
        state.commit();
        (height, parent) = (block.height, hash);
        Ok(())
    })?;
    store.each_entry(|key, value| match entries.remove(key) {
        Some(replayed) if replayed == value => Ok(()),
        Some(_) => Err(differs(key, "is another than")),
        None => Err(differs(key, "is not among")),
    })?;
    match entries.first_key_value() {
        Some((key, _)) => Err(differs(key, "is missing, and is among")),
        None => Ok(height.0),
    }
}

fn redo(state: &mut State, block: &Block, chain: &ChainId, head: BlockNumber) -> Result<(), Error> {
    if block.calls.len() > MOST_CALLS {
        return Err(corrupt(&format!("block {} holds too many calls", block.height)));
    }
    for recorded in &block.calls {
        if let Entry::Signed(taken) = &*recorded.call {
            taken.verify()?;
            let transaction = taken.transaction();
            let nonce = state
                .accounts
                .get(&transaction.account)
                .map_or(0, |record| record.nonce);
            if transaction.chain != *chain
                || transaction.nonce != nonce
                || transaction.valid_until < block.height
            {
                return Err(corrupt(&format!(
                    "block {} holds a transaction of {} that it may not hold",
                    block.height, transaction.account
                )));
            }
        }
        let moment = Moment {
            head,
            block: block.height,
        };
        if !state.apply(&recorded.call, moment).agrees_with(&recorded.outcome) {
            return Err(Error::broken(
                "state_differs",
                format!(
                    "a call of block {} does not come to what is recorded",
                    block.height
                ),
            ));
        }
    }
    state.enter(block.height);
    Ok(())
}

fn differs(key: &[u8], how: &str) -> Error {
    Error::broken(
        "state_differs",
        format!(
            "the stored entry {} {how} what the blocks come to",
            String::from_utf8_lossy(key)
        ),
    )
}
