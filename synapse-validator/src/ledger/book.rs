//! What the rows add up to: balances, spending, what is still open.

use std::collections::{BTreeMap, HashMap};

use synapse_core::{CallerId, Error, KeyId, Micros, OperationId};

use super::{
    Account, Closing, EntryId, Opening, Payer, Span, TopUp, UnixMillis,
    calendar::{self, Day},
    error,
    totals::Summary,
};

/// Days for which spending is known: this month and the one before.
const DAYS: u64 = 62;

/// What the rows add up to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Book {
    pub(super) charged: HashMap<CallerId, Micros>,
    pub(super) paid_in: HashMap<CallerId, Micros>,
    pub(super) spent: HashMap<Payer, BTreeMap<Day, Micros>>,
    /// What each payment did, so that none counts twice.
    pub(super) payments: HashMap<OperationId, (CallerId, Micros)>,
    pub(super) open: HashMap<EntryId, Opening>,
    /// The latest time of any row.
    pub(super) last: UnixMillis,
}

impl Book {
    pub(super) fn open(&mut self, entry: EntryId, opening: Opening) {
        self.last = self.last.max(opening.at);
        self.open.insert(entry, opening);
    }

    /// Whether `close` would find a number for every sum.
    ///
    /// # Errors
    /// `ledger_amount_too_large`.
    pub(super) fn can_charge(&self, caller: Option<&CallerId>, charge: Micros) -> Result<(), Error> {
        let before = caller.and_then(|caller| self.charged.get(caller)).copied();
        before
            .unwrap_or_default()
            .plus(charge)
            .map(|_| ())
            .ok_or_else(too_large)
    }

    pub(super) fn close(&mut self, opening: &Opening, closing: &Closing) {
        self.open.remove(&closing.entry);
        self.last = self.last.max(closing.at);
        let day = calendar::day(closing.at);
        self.charge(opening.caller.as_ref(), opening.key.as_ref(), day, closing.charge);
    }

    fn charge(&mut self, caller: Option<&CallerId>, key: Option<&KeyId>, day: Day, charge: Micros) {
        if charge == Micros::ZERO {
            return;
        }
        for payer in [caller.map(Payer::from), key.map(Payer::from)]
            .into_iter()
            .flatten()
        {
            let days = self.spent.entry(payer).or_default();
            add(days.entry(day).or_default(), charge);
        }
        if let Some(caller) = caller {
            add(self.charged.entry(caller.clone()).or_default(), charge);
        }
    }

    /// Takes in what is left of rows that are no more.
    pub(super) fn add_summary(&mut self, summary: &Summary) {
        for (group, totals) in &summary.groups {
            self.charge(
                group.caller.as_ref(),
                group.key.as_ref(),
                group.day,
                totals.charge,
            );
        }
        for top_up in &summary.top_ups {
            self.top_up(top_up);
        }
        self.last = self.last.max(summary.times.map_or(0, |(_, last)| last));
    }

    /// Whether a payment is new; one that is the same as before is not.
    ///
    /// # Errors
    /// `ledger_payment_differs`, `ledger_amount_too_large`.
    pub(super) fn is_new(&self, top_up: &TopUp) -> Result<bool, Error> {
        if let Some((caller, amount)) = self.payments.get(&top_up.operation) {
            if (caller, amount) == (&top_up.caller, &top_up.amount) {
                return Ok(false);
            }
            return Err(error::payment_differs(&top_up.operation, *amount, caller));
        }
        let before = self.paid_in.get(&top_up.caller).copied().unwrap_or_default();
        before.plus(top_up.amount).map(|_| true).ok_or_else(too_large)
    }

    pub(super) fn top_up(&mut self, top_up: &TopUp) {
        self.last = self.last.max(top_up.at);
        add(
            self.paid_in.entry(top_up.caller.clone()).or_default(),
            top_up.amount,
        );
        let payment = (top_up.caller.clone(), top_up.amount);
        self.payments.insert(top_up.operation.clone(), payment);
    }

    pub(super) fn account(&self, caller: &CallerId) -> Option<Account> {
        let paid_in = *self.paid_in.get(caller)?;
        let charged = self.charged.get(caller).copied().unwrap_or_default();
        Some(Account { paid_in, charged })
    }

    pub(super) fn accounts(&self) -> Vec<(CallerId, Account)> {
        let accounts = self
            .paid_in
            .keys()
            .filter_map(|caller| Some((caller.clone(), self.account(caller)?)));
        let mut accounts: Vec<_> = accounts.collect();
        accounts.sort_by(|(one, _), (other, _)| one.cmp(other));
        accounts
    }

    pub(super) fn spent(&self, who: &Payer, span: Span, at: UnixMillis) -> Micros {
        let (first, last) = span.days(at);
        let days = self
            .spent
            .get(who)
            .into_iter()
            .flat_map(|days| days.range(first..=last));
        let mut sum = Micros::ZERO;
        for (_, spent) in days {
            add(&mut sum, *spent);
        }
        sum
    }

    /// Forgets the spending of days that no span of `now` reaches. A row of a clock that was ahead moves no day out of reach.
    pub(super) fn forget_old_days(&mut self, now: UnixMillis) {
        let from = calendar::day(self.last.min(now)).saturating_sub(DAYS);
        self.spent.retain(|_, days| {
            *days = days.split_off(&from);
            !days.is_empty()
        });
    }
}

/// Sums that [`Book::can_charge`] and [`Book::is_new`] did not allow do not come here.
fn add(sum: &mut Micros, more: Micros) {
    *sum = Micros(sum.0.saturating_add(more.0));
}

fn too_large() -> Error {
    Error::invalid("ledger_amount_too_large", "there is no number for the sum")
}
