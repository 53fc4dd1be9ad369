//! Calls that wait for a block.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use synapse_core::{BlockNumber, Error, ErrorKind, NodeId};
use tokio::sync::oneshot;

use super::{block, call::Entry};
use crate::{Receipt, TxHash};

/// Most calls that wait.
const MOST: usize = 8_192;
/// Of these, places that no transaction takes: calls of the process that keeps the chain get through.
const LOCAL_RESERVE: usize = 1_024;
/// Most bytes of transactions that wait.
const MOST_BYTES: usize = 64 * 1024 * 1024;
/// Most bytes of one account's transactions that wait: three of the largest.
const MOST_BYTES_OF_ONE: usize = 1024 * 1024;
/// Most transactions of one account that wait, and how far ahead of its next nonce they may be.
const MOST_AHEAD: u64 = 64;
/// Most transactions of one account that wait for one before them that has not come. No block takes these, and they make
/// room for others where there is none.
const MOST_GAPPED: usize = 8;
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
    /// Those that wait for one before them that has not come.
    gapped: BTreeSet<u64>,
    bytes: usize,
    came: u64,
}

/// An account's transactions.
#[derive(Debug, Default)]
struct Lane {
    /// The nonce after those that are committed or in flight.
    next: u64,
    in_flight: usize,
    waiting: BTreeMap<u64, u64>,
    bytes: usize,
}

impl Lane {
    /// The nonce after those that wait in a row.
    fn next_free(&self) -> u64 {
        let mut next = self.next;
        while self.waiting.contains_key(&next) {
            next += 1;
        }
        next
    }
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
        self.lanes.get(account).map_or(committed, Lane::next_free)
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
        let known = match self.lanes.get(account) {
            Some(lane) if *nonce < lane.next => self.in_flight.iter_mut().find(|other| {
                let slot = other.slot.as_ref();
                slot.is_some_and(|slot| slot.account == *account && slot.nonce == *nonce)
            }),
            Some(lane) => lane
                .waiting
                .get(nonce)
                .and_then(|came| self.waiting.get_mut(came)),
            None => None,
        };
        match known {
            Some(known) if known.hash == hash => known.wait(),
            Some(_) => Err(taken(account, *nonce)),
            None => {
                self.make_room(&slot, size, committed)?;
                self.add(entry, hash, Some((slot, committed)), size)
            }
        }
    }

    /// Whether there is room for a transaction; those that no block takes yet make way for one that it can take.
    fn make_room(&mut self, slot: &Slot, size: usize, committed: u64) -> Result<(), Error> {
        let none = Lane::default();
        let lane = self.lanes.get(&slot.account).unwrap_or(&none);
        let next = lane.next.max(committed);
        let is_gapped = slot.nonce > lane.next_free().max(committed);
        let gapped = lane.waiting.values().filter(|came| self.gapped.contains(came));
        if slot.nonce - next >= MOST_AHEAD || is_gapped && gapped.count() >= MOST_GAPPED {
            return Err(gap(&slot.account, slot.nonce, next));
        }
        if lane.bytes + size > MOST_BYTES_OF_ONE {
            return Err(Error::new(
                ErrorKind::RateLimited,
                "mempool_full",
                format!(
                    "{} bytes of {} wait for a block already",
                    lane.bytes, slot.account
                ),
            )
            .with_hint("send it again after the next block"));
        }
        while self.waiting.len() >= MOST - LOCAL_RESERVE || self.bytes + size > MOST_BYTES {
            match self.gapped.last() {
                Some(youngest) if !is_gapped => self.drop_waiting(*youngest, &self.full()),
                _ => return Err(self.full()),
            }
        }
        Ok(())
    }

    fn full(&self) -> Error {
        Error::new(
            ErrorKind::Overloaded,
            "mempool_full",
            format!("{} calls wait for a block already", self.waiting.len()),
        )
        .with_hint("send it again after the next block")
    }

    fn add(
        &mut self,
        entry: Entry,
        hash: TxHash,
        slot: Option<(Slot, u64)>,
        size: usize,
    ) -> Result<Verdict, Error> {
        if self.waiting.len() >= MOST {
            return Err(self.full());
        }
        if let Some((slot, committed)) = &slot {
            let lane = self.lanes.entry(slot.account.clone()).or_insert_with(|| Lane {
                next: *committed,
                ..Lane::default()
            });
            lane.waiting.insert(slot.nonce, self.came);
            lane.bytes += size;
        }
        let mut waiting = Waiting {
            entry: Arc::new(entry),
            hash,
            slot: slot.map(|(slot, _)| slot),
            size,
            waiters: Vec::new(),
        };
        let verdict = waiting.wait()?;
        let account = waiting.slot.as_ref().map(|slot| slot.account.clone());
        self.bytes += size;
        self.waiting.insert(self.came, waiting);
        self.came += 1;
        if let Some(account) = account {
            self.find_gaps(&account);
        }
        Ok(verdict)
    }

    /// Sets down which of an account's transactions wait for one before them.
    fn find_gaps(&mut self, account: &NodeId) {
        let Some(lane) = self.lanes.get(account) else {
            return;
        };
        let mut next = lane.next;
        for (nonce, came) in &lane.waiting {
            if *nonce == next {
                self.gapped.remove(came);
                next += 1;
            } else {
                self.gapped.insert(*came);
            }
        }
    }

    /// Takes what `block` can hold, in order; refuses what is not valid any more.
    pub(super) fn take(&mut self, block: BlockNumber) -> Vec<(TxHash, Arc<Entry>)> {
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
                        let error = expired(slot.valid_until, block);
                        self.drop_waiting(came, &error);
                        continue;
                    }
                    let lane = self.lanes.get(&slot.account);
                    if lane.is_none_or(|lane| slot.nonce != lane.next) {
                        continue;
                    }
                }
                let full = !self.in_flight.is_empty() && bytes + waiting.size > block::MOST_BYTES;
                if full || self.in_flight.len() == block::MOST_CALLS {
                    break;
                }
                bytes += waiting.size;
                let waiting = self.remove(came);
                if let Some(slot) = &waiting.slot
                    && let Some(lane) = self.lanes.get_mut(&slot.account)
                {
                    lane.in_flight += 1;
                    lane.next += 1;
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
        self.gapped.clear();
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

    /// Takes one out that no block will take, and the way of those after it.
    fn drop_waiting(&mut self, came: u64, why: &Error) {
        let waiting = self.remove(came);
        if let Some(slot) = &waiting.slot {
            self.find_gaps(&slot.account);
            self.tidy(&slot.account);
        }
        waiting.tell(&Err(why.clone()));
    }

    fn remove(&mut self, came: u64) -> Waiting {
        let waiting = self.waiting.remove(&came).expect("only what waits is removed");
        self.bytes -= waiting.size;
        self.gapped.remove(&came);
        if let Some(slot) = &waiting.slot
            && let Some(lane) = self.lanes.get_mut(&slot.account)
        {
            lane.waiting.remove(&slot.nonce);
            lane.bytes -= waiting.size;
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

pub(super) fn replayed(account: &NodeId, nonce: u64, next: u64) -> Error {
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
