//! One caller's line, his balance, and what he weighs.

use std::{cmp::Ordering, collections::VecDeque};

use super::Priority;

/// A token in the unit that balances are kept in, and the weight of the highest stake.
pub(super) const TOKEN: i64 = 1024;
/// The least weight: whoever has next to nothing at stake still gets a 64th of what the highest stake gets.
const FLOOR: i64 = TOKEN / 64;
/// What one reply is believed to have taken at most, in tokens.
const MOST_USED: u64 = 1 << 20;
/// So many of a caller's requests go before one of his batches.
const STREAK: u32 = 4;

/// One caller's line and balance.
#[derive(Debug)]
pub(super) struct Flow<T> {
    pub(super) stake: u64,
    /// In parts of a token.
    pub(super) balance: i64,
    pub(super) busy: usize,
    pub(super) last_turn: u64,
    streak: u32,
    pub(super) interactive: VecDeque<Waiter<T>>,
    pub(super) batch: VecDeque<Waiter<T>>,
}

/// One request in line; the token comes back with its turn.
#[derive(Debug)]
pub(super) struct Waiter<T> {
    pub(super) number: u64,
    pub(super) cost: u64,
    pub(super) token: T,
}

impl<T> Flow<T> {
    pub(super) fn new(turns: u64) -> Self {
        Self {
            stake: 0,
            balance: 0,
            busy: 0,
            last_turn: turns,
            streak: 0,
            interactive: VecDeque::new(),
            batch: VecDeque::new(),
        }
    }

    pub(super) fn waits(&self) -> usize {
        self.interactive.len() + self.batch.len()
    }

    pub(super) fn is_idle(&self) -> bool {
        self.waits() == 0 && self.busy == 0 && self.balance == 0
    }

    pub(super) fn push(&mut self, priority: Priority, waiter: Waiter<T>) {
        match priority {
            Priority::Interactive => self.interactive.push_back(waiter),
            Priority::Batch => self.batch.push_back(waiter),
        }
    }

    /// Whether the one with this number was in line.
    pub(super) fn remove(&mut self, number: u64) -> bool {
        [&mut self.interactive, &mut self.batch].into_iter().any(|line| {
            let at = line.binary_search_by_key(&number, |waiter| waiter.number);
            at.is_ok_and(|at| line.remove(at).is_some())
        })
    }

    /// How many of his own go before one of this priority.
    pub(super) fn before(&self, priority: Priority) -> usize {
        let (interactive, batch) = (self.interactive.len(), self.batch.len());
        match priority {
            Priority::Interactive => interactive + batch.min(interactive / STREAK as usize),
            Priority::Batch => interactive + batch,
        }
    }

    fn batch_is_next(&self) -> bool {
        self.interactive.is_empty() || (self.streak >= STREAK && !self.batch.is_empty())
    }

    pub(super) fn head(&self) -> Option<&Waiter<T>> {
        if self.batch_is_next() {
            self.batch.front()
        } else {
            self.interactive.front()
        }
    }

    pub(super) fn take(&mut self) -> Option<Waiter<T>> {
        if self.batch_is_next() {
            self.streak = 0;
            self.batch.pop_front()
        } else {
            self.streak += 1;
            self.interactive.pop_front()
        }
    }

    /// Who has nobody in line saves nothing up.
    pub(super) fn owe_no_idler(&mut self) {
        if self.waits() == 0 {
            self.balance = self.balance.min(0);
        }
    }
}

/// What a stake weighs beside the highest: equal ones the same, the highest [`TOKEN`], none less than [`FLOOR`].
pub(super) fn weight(stake: u64, top: u64) -> i64 {
    if top == 0 {
        return TOKEN;
    }
    let share = u128::from(stake) * u128::from(TOKEN.unsigned_abs()) / u128::from(top);
    i64::try_from(share).unwrap_or(TOKEN).clamp(FLOOR, TOKEN)
}

pub(super) fn in_parts(tokens: u64) -> i64 {
    tokens.min(MOST_USED).cast_signed() * TOKEN
}

/// Compares lengths of lines for their weights, without dividing.
pub(super) fn longer((one, its): (usize, i64), (other, theirs): (usize, i64)) -> Ordering {
    (one as u128 * u128::from(theirs.unsigned_abs())).cmp(&(other as u128 * u128::from(its.unsigned_abs())))
}
