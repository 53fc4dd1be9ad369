//! Calls that wait for a block.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use synapse_core::{BlockNumber, Error, ErrorKind, NodeId};
use tokio::sync::oneshot;

use super::{block, call::Entry};
use crate::{Receipt, TxHash};

/// Most calls that wait.
const MOST: usize = 8_192;
/// Most bytes of transactions that wait.
const MOST_BYTES: usize = 64 * 1024 * 1024;
/// Most transactions of one account that wait, and how far ahead of its next nonce they may be.
const MOST_AHEAD: u64 = 64;
/// Most callers that wait for the same transaction.
const MOST_WAITERS: usize = 8;

/// How somebody learns what became of a call.
pub(super) type Verdict = oneshot::Receiver<Result<Receipt, Error>>;

/// Calls in the order in which they came, each account's transactions in that of their nonces.
#[derive(Debug, Default)]
pub(super) struct Mempool {
    waiting: BTreeMap<u64, Waiting>,
    /// Those that the block takes that is being made.
    in_flight: Vec<Waiting>,
    lanes: HashMap<NodeId, Lane>,
    bytes: usize,
    came: u64,
}

/// An account's transactions.
#[derive(Debug, Default)]
struct Lane {
    in_flight: u64,
    waiting: BTreeMap<u64, u64>,
}

/// What is known of a transaction beside its bytes.
#[derive(Debug, Clone)]
pub(super) struct Slot {
    pub(super) account: NodeId,
    pub(super) nonce: u64,
    pub(super) valid_until: BlockNumber,
}

#[derive(Debug)]
struct Waiting {
    entry: Arc<Entry>,
    hash: TxHash,
    slot: Option<Slot>,
    size: usize,
    waiters: Vec<oneshot::Sender<Result<Receipt, Error>>>,
}

impl Mempool {
    /// The nonce of the account's next transaction, after those that wait in a row.
    pub(super) fn next_nonce(&self, account: &NodeId, committed: u64) -> u64 {
        let Some(lane) = self.lanes.get(account) else {
            return committed;
        };
        let mut next = committed + lane.in_flight;
        while lane.waiting.contains_key(&next) {
            next += 1;
        }
        next
    }

    /// Lets a call of the process that keeps the chain wait.
    pub(super) fn add_local(&mut self, entry: Entry, hash: TxHash) -> Result<Verdict, Error> {
        self.add(entry, hash, None, 0)
    }

    /// Lets a transaction wait, whose signature was verified.
    pub(super) fn add_signed(
        &mut self,
        entry: Entry,
        hash: TxHash,
        slot: Slot,
        size: usize,
        committed: u64,
    ) -> Result<Verdict, Error> {
        let Slot { account, nonce, .. } = &slot;
        if *nonce < committed {
            return Err(replayed(account, *nonce, committed));
        }
        let lane = self.lanes.entry(account.clone()).or_default();
        let next = committed + lane.in_flight;
        let known = match lane.waiting.get(nonce) {
            Some(came) => self.waiting.get_mut(came),
            None if *nonce < next => self.in_flight.iter_mut().find(|other| {
                let slot = other.slot.as_ref();
                slot.is_some_and(|slot| slot.account == *account && slot.nonce == *nonce)
            }),
            None if *nonce - next >= MOST_AHEAD => {
                let error = gap(account, *nonce, next);
                self.tidy(&slot.account);
                return Err(error);
            }
            None => None,
        };
        match known {
            Some(known) if known.hash == hash => known.wait(),
            Some(_) => Err(taken(account, *nonce)),
            None => self.add(entry, hash, Some(slot), size),
        }
    }

    fn add(&mut self, entry: Entry, hash: TxHash, slot: Option<Slot>, size: usize) -> Result<Verdict, Error> {
        if self.waiting.len() >= MOST || self.bytes + size > MOST_BYTES {
            if let Some(slot) = slot {
                self.tidy(&slot.account);
            }
            return Err(Error::new(
                ErrorKind::Overloaded,
                "mempool_full",
                format!("{} calls wait for a block already", self.waiting.len()),
            )
            .with_hint("send it again after the next block"));
        }
        let mut waiting = Waiting {
            entry: Arc::new(entry),
            hash,
            slot,
            size,
            waiters: Vec::new(),
        };
        let verdict = waiting.wait()?;
        if let Some(slot) = &waiting.slot {
            let lane = self.lanes.entry(slot.account.clone()).or_default();
            lane.waiting.insert(slot.nonce, self.came);
        }
        self.bytes += size;
        self.waiting.insert(self.came, waiting);
        self.came += 1;
        Ok(verdict)
    }

    /// Takes what `block` can hold, in order; refuses what is not valid any more. `committed` tells an account's nonce.
    pub(super) fn take(
        &mut self,
        block: BlockNumber,
        committed: impl Fn(&NodeId) -> u64,
    ) -> Vec<(TxHash, Arc<Entry>)> {
        debug_assert!(self.in_flight.is_empty(), "one block at a time");
        let mut bytes = 0;
        let mut passed = true;
        // A transaction that came before its predecessor is found in a later pass.
        while std::mem::take(&mut passed) && self.in_flight.len() < block::MOST_CALLS {
            let order: Vec<u64> = self.waiting.keys().copied().collect();
            for came in order {
                let waiting = self.waiting.get(&came).expect("it was there a moment ago");
                if let Some(slot) = &waiting.slot {
                    if slot.valid_until < block {
                        self.expire(came, block);
                        continue;
                    }
                    let in_flight = self.lanes.get(&slot.account).map_or(0, |lane| lane.in_flight);
                    if slot.nonce != committed(&slot.account) + in_flight {
                        continue;
                    }
                }
                let full = !self.in_flight.is_empty() && bytes + waiting.size > block::MOST_BYTES;
                if full || self.in_flight.len() == block::MOST_CALLS {
                    break;
                }
                bytes += waiting.size;
                let waiting = self.remove(came);
                if let Some(slot) = &waiting.slot {
                    self.lanes.entry(slot.account.clone()).or_default().in_flight += 1;
                }
                self.in_flight.push(waiting);
                passed = true;
            }
        }
        self.in_flight
            .iter()
            .map(|waiting| (waiting.hash, waiting.entry.clone()))
            .collect()
    }

    /// What was in flight is in a block now.
    pub(super) fn settle(&mut self, receipts: Vec<Receipt>) {
        for (waiting, receipt) in self.land().into_iter().zip(receipts) {
            waiting.tell(&Ok(receipt));
        }
    }

    /// Nothing that waits will ever be in a block.
    pub(super) fn fail(&mut self, in_flight: &Error, waiting: &Error) {
        for call in self.land() {
            call.tell(&Err(in_flight.clone()));
        }
        for (_, call) in std::mem::take(&mut self.waiting) {
            call.tell(&Err(waiting.clone()));
        }
        self.lanes.clear();
        self.bytes = 0;
    }

    fn land(&mut self) -> Vec<Waiting> {
        let landed = std::mem::take(&mut self.in_flight);
        for slot in landed.iter().filter_map(|waiting| waiting.slot.as_ref()) {
            if let Some(lane) = self.lanes.get_mut(&slot.account) {
                lane.in_flight -= 1;
            }
            self.tidy(&slot.account);
        }
        landed
    }

    fn expire(&mut self, came: u64, block: BlockNumber) {
        let waiting = self.remove(came);
        if let Some(slot) = &waiting.slot {
            let error = expired(slot.valid_until, block);
            self.tidy(&slot.account);
            waiting.tell(&Err(error));
        }
    }

    fn remove(&mut self, came: u64) -> Waiting {
        let waiting = self.waiting.remove(&came).expect("only what waits is removed");
        self.bytes -= waiting.size;
        if let Some(slot) = &waiting.slot
            && let Some(lane) = self.lanes.get_mut(&slot.account)
        {
            lane.waiting.remove(&slot.nonce);
        }
        waiting
    }

    fn tidy(&mut self, account: &NodeId) {
        let idle = |lane: &Lane| lane.in_flight == 0 && lane.waiting.is_empty();
        if self.lanes.get(account).is_some_and(idle) {
            self.lanes.remove(account);
        }
    }
}

impl Waiting {
    fn wait(&mut self) -> Result<Verdict, Error> {
        self.waiters.retain(|waiter| !waiter.is_closed());
        if self.waiters.len() == MOST_WAITERS {
            return Err(Error::new(
                ErrorKind::RateLimited,
                "too_many_waiting",
                format!("{MOST_WAITERS} callers wait for this transaction already"),
            ));
        }
        let (sender, verdict) = oneshot::channel();
        self.waiters.push(sender);
        Ok(verdict)
    }

    fn tell(self, verdict: &Result<Receipt, Error>) {
        for waiter in self.waiters {
            // Whoever does not wait any more can ask for the receipt.
            let _ = waiter.send(verdict.clone());
        }
    }
}

/// That a transaction came too late, or asks to wait for too long.
pub(super) fn check_validity(slot: &Slot, head: BlockNumber, longest: u64) -> Result<(), Error> {
    let next = BlockNumber(head.0.saturating_add(1));
    if slot.valid_until < next {
        return Err(expired(slot.valid_until, next));
    }
    if slot.valid_until.0 - head.0 > longest {
        return Err(Error::invalid(
            "valid_too_long",
            format!(
                "the transaction is valid until block {}, and at block {head} that may be {} at most",
                slot.valid_until,
                head.0.saturating_add(longest)
            ),
        ));
    }
    Ok(())
}

fn expired(valid_until: BlockNumber, block: BlockNumber) -> Error {
    Error::invalid(
        "transaction_expired",
        format!("the transaction was valid until block {valid_until}, and the next one is {block}"),
    )
    .with_hint("sign it again with a later block")
}

fn replayed(account: &NodeId, nonce: u64, next: u64) -> Error {
    Error::invalid(
        "transaction_replayed",
        format!("{account} used the nonce {nonce} already; its next one is {next}"),
    )
    .with_hint("ask for the receipt by the transaction's hash, or sign it again with the next nonce")
}

fn taken(account: &NodeId, nonce: u64) -> Error {
    Error::invalid(
        "nonce_taken",
        format!("another transaction of {account} with the nonce {nonce} waits for a block"),
    )
    .with_hint("sign it again with the next nonce")
}

fn gap(account: &NodeId, nonce: u64, next: u64) -> Error {
    Error::invalid(
        "nonce_gap",
        format!("the nonce {nonce} of {account} is too far ahead: its next one is {next}"),
    )
    .with_hint("ask for the account's next nonce")
}
