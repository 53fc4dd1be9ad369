//! Holds: what requests that are under way may cost.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use synapse_core::{ApiKey, CallerId, Error, KeyId, Micros};

use super::{Price, SpendLimit, Terms, Unpaid, refusal};
use crate::ledger::{Ledger, Payer, Span, UnixMillis};

/// Parts of the holds that are locked apart.
const SHARDS: usize = 16;

/// What requests that are under way may cost, by who pays.
///
/// What is available is what the ledger says less what is held. Both are read, and the hold is taken, under one lock of
/// the caller; a key is its caller's, and under the same. As a request ends the ledger is told its charge first, and its
/// hold let go then: at no time is more available than there is.
#[derive(Debug)]
pub(crate) struct Accounts {
    ledger: Ledger,
    hasher: RandomState,
    shards: Box<[Mutex<Held>]>,
}

/// What is held. It may be more than one amount can be, since who has no balance and no limit is held to nothing.
type Held = HashMap<Payer, u128>;

/// What a request may cost, and whom.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bill<'a> {
    pub(crate) caller: Option<&'a CallerId>,
    pub(crate) key: Option<&'a ApiKey>,
    pub(crate) price: Price,
    pub(crate) prompt_tokens: u64,
    /// Replies that are asked for.
    pub(crate) replies: u64,
    /// Tokens that all replies may have together.
    pub(crate) most_completion: u64,
    /// What the caller's format calls the cap on a reply.
    pub(crate) cap: &'static str,
    pub(crate) at: UnixMillis,
}

/// What is held for one request, until this is dropped.
#[derive(Debug)]
pub(crate) struct Hold {
    accounts: Arc<Accounts>,
    caller: Option<CallerId>,
    key: Option<KeyId>,
    amount: Micros,
}

impl Bill<'_> {
    /// The most that it may cost. What no number holds fits no balance.
    pub(crate) fn most(&self) -> Micros {
        let charge = self.price.charge(self.prompt_tokens, self.most_completion);
        charge.unwrap_or(Micros(u64::MAX))
    }

    /// The cap on each reply with which it costs no more than `budget`; `None` where none is small enough.
    pub(super) fn fitting(&self, budget: Micros) -> Option<u64> {
        let tokens = self.price.affords(self.prompt_tokens, budget)?;
        let each = tokens.checked_div(self.replies)?;
        (each > 0).then_some(each)
    }
}

impl Accounts {
    pub(crate) fn new(ledger: Ledger) -> Self {
        Self {
            ledger,
            hasher: RandomState::new(),
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
        }
    }

    /// Holds what the request may cost, of the caller's balance and of what it and its key may spend: all of it or
    /// nothing.
    ///
    /// # Errors
    /// What has not enough, and what would fit.
    pub(crate) fn hold(self: &Arc<Self>, bill: &Bill<'_>, terms: &Terms) -> Result<Hold, Error> {
        let amount = bill.most();
        let mut hold = Hold {
            accounts: self.clone(),
            caller: bill.caller.cloned(),
            key: bill.key.map(|key| key.id().clone()),
            amount: Micros::ZERO,
        };
        if amount == Micros::ZERO {
            return Ok(hold);
        }
        let mut shard = self.shard(bill.caller);
        self.check_balance(&shard, bill, amount, terms.unpaid)?;
        if let Some(caller) = bill.caller {
            self.check_spending(&shard, bill, amount, &caller.into(), terms.spend_limit)?;
        }
        if let Some(key) = bill.key {
            let allowance = key.allowance();
            let limit = SpendLimit {
                per_day: allowance.spend_per_day,
                per_month: allowance.spend_per_month,
            };
            self.check_spending(&shard, bill, amount, &key.id().into(), limit)?;
        }
        for payer in hold.payers() {
            *shard.entry(payer).or_default() += u128::from(amount.0);
        }
        hold.amount = amount;
        Ok(hold)
    }

    /// How much is held of all callers, in millionths of a unit.
    pub(crate) fn held(&self) -> u128 {
        let of_callers = |shard: &Mutex<Held>| -> u128 {
            let shard = lock(shard);
            let held = shard
                .iter()
                .filter(|(payer, _)| matches!(payer, Payer::Caller(_)));
            held.map(|(_, held)| held).sum()
        };
        self.shards.iter().map(of_callers).sum()
    }

    fn check_balance(
        &self,
        held: &Held,
        bill: &Bill<'_>,
        amount: Micros,
        unpaid: Unpaid,
    ) -> Result<(), Error> {
        let balance = bill
            .caller
            .and_then(|caller| Some((Payer::from(caller), self.ledger.balance(caller)?)));
        match (balance, unpaid) {
            (None, Unpaid::Allow) => Ok(()),
            (None, Unpaid::Refuse) => Err(refusal::no_account(bill.caller)),
            (Some((payer, balance)), _) => {
                let held = held.get(&payer).copied().unwrap_or_default();
                let available = u128::from(balance.0).saturating_sub(held);
                if u128::from(amount.0) <= available {
                    return Ok(());
                }
                let available = saturated(available);
                Err(refusal::insufficient_balance(bill, amount, balance, available))
            }
        }
    }

    fn check_spending(
        &self,
        held: &Held,
        bill: &Bill<'_>,
        amount: Micros,
        payer: &Payer,
        limit: SpendLimit,
    ) -> Result<(), Error> {
        let held = held.get(payer).copied().unwrap_or_default();
        for (span, limit) in [(Span::Day, limit.per_day), (Span::Month, limit.per_month)] {
            let Some(limit) = limit else { continue };
            let spent = self.ledger.spent(payer, span, bill.at);
            let left = u128::from(limit.0).saturating_sub(u128::from(spent.0));
            let available = left.saturating_sub(held);
            if u128::from(amount.0) > available {
                return Err(refusal::beyond_spend_limit(&refusal::Spending {
                    bill,
                    payer,
                    span,
                    limit,
                    amount,
                    left: saturated(left),
                    available: saturated(available),
                }));
            }
        }
        Ok(())
    }

    fn shard(&self, caller: Option<&CallerId>) -> MutexGuard<'_, Held> {
        let index = usize::try_from(self.hasher.hash_one(caller) % SHARDS as u64);
        lock(&self.shards[index.expect("below the number of shards")])
    }
}

impl Hold {
    pub(crate) fn amount(&self) -> Micros {
        self.amount
    }

    fn payers(&self) -> impl Iterator<Item = Payer> {
        let caller = self.caller.as_ref().map(Payer::from);
        caller.into_iter().chain(self.key.as_ref().map(Payer::from))
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if self.amount == Micros::ZERO {
            return;
        }
        let mut shard = self.accounts.shard(self.caller.as_ref());
        for payer in self.payers() {
            if let Some(held) = shard.get_mut(&payer) {
                *held = held.saturating_sub(u128::from(self.amount.0));
                if *held == 0 {
                    shard.remove(&payer);
                }
            }
        }
    }
}

fn lock(shard: &Mutex<Held>) -> MutexGuard<'_, Held> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

fn saturated(amount: u128) -> Micros {
    Micros(u64::try_from(amount).unwrap_or(u64::MAX))
}
