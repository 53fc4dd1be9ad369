//! What was used before this process began, as the rows of a ledger say.

use std::{
    collections::{HashMap, hash_map::Entry},
    fmt,
    path::Path,
    time::Duration,
};

use synapse_core::Error;

use super::{
    account::{Scope, Whose},
    limits::Limits,
    quota::{Period, Quota, Unit, Window},
};
use crate::ledger::{self, Outcome, Query, Row};

/// How far back rows are read at least: by then a window that a day refills is full again, of who asked nothing for a day.
const BACK: Duration = Duration::from_hours(48);

/// What of the past was taken in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Restored {
    /// Requests whose tokens count again.
    pub requests: u64,
    /// Accounts that they were taken from.
    pub accounts: usize,
    /// Accounts for which there was no room, so that they begin anew.
    pub left_out: bool,
}

impl fmt::Display for Restored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (requests, accounts) = (self.requests, self.accounts);
        write!(
            f,
            "limits of tokens a day and a month go on where they were: {requests} requests of {accounts} accounts count"
        )?;
        match self.left_out {
            true => f.write_str("; there are more accounts than are told apart, and those begin anew"),
            false => Ok(()),
        }
    }
}

/// Tokens that were used of the present day and month, and of windows that a day refills.
#[derive(Debug)]
pub(super) struct Past {
    /// When this process began; what came later it counts itself.
    until: Duration,
    /// When the day of that began, and the month.
    day: Duration,
    month: Duration,
    used: HashMap<Whose, Used>,
    /// How many accounts there are of each scope, and may be.
    counts: [usize; Scope::ALL.len()],
    most: usize,
    requests: u64,
    left_out: bool,
}

#[derive(Debug)]
struct Used {
    day: u64,
    month: u64,
    refills: Option<Refills>,
}

/// A window of tokens that a day refills, in its bucket's unit.
#[derive(Debug, Clone, Copy)]
struct Refills {
    window: Window,
    level: u128,
    at: Duration,
}

impl Past {
    /// What the ledger in `directory` says of what came before `until`, of `most` accounts of each scope.
    ///
    /// # Errors
    /// Those of [`ledger::rows`].
    pub(super) fn read(
        directory: &Path,
        limits: &Limits,
        until: Duration,
        most: usize,
    ) -> Result<Self, Error> {
        let mut past = Self {
            until,
            day: Period::CalendarDay.began(until),
            month: Period::CalendarMonth.began(until),
            used: HashMap::new(),
            counts: [0; Scope::ALL.len()],
            most,
            requests: 0,
            left_out: false,
        };
        let query = Query {
            from: Some(u64::try_from(past.from().as_millis()).unwrap_or(u64::MAX)),
            ..Query::default()
        };
        ledger::rows(directory, &query, |row| {
            past.take_in(row, limits);
            true
        })?;
        Ok(past)
    }

    pub(super) fn restored(&self) -> Restored {
        Restored {
            requests: self.requests,
            accounts: self.used.len(),
            left_out: self.left_out,
        }
    }

    /// What was used of a budget before this process began: nothing of one that began later.
    pub(super) fn of_budget(&self, whose: &Whose, window: Window, now: Duration) -> u64 {
        let (period, is_tokens) = (window.kind.period, window.kind.unit == Unit::Tokens);
        let is_present = period.number(now) == period.number(self.until);
        match self.used.get(whose) {
            Some(used) if is_tokens && is_present => match period {
                Period::CalendarMonth => used.month,
                Period::CalendarDay => used.day,
                _ => 0,
            },
            _ => 0,
        }
    }

    /// Windows that refill and are not full `now`, with what is used of them.
    pub(super) fn refilling(&self, now: Duration) -> impl Iterator<Item = (&Whose, Window, u128)> {
        self.used.iter().filter_map(move |(whose, used)| {
            let refills = used.refills?;
            let level = refills.level(now);
            (level > 0).then_some((whose, refills.window, level))
        })
    }

    /// When the month began, or [`BACK`].
    fn from(&self) -> Duration {
        self.month.min(self.until.saturating_sub(BACK))
    }

    fn take_in(&mut self, row: Row, limits: &Limits) {
        let began = Duration::from_millis(row.began);
        // What failed used nothing, and what goes on is this process' own.
        let ended = matches!(&row.outcome, Some(outcome) if !matches!(outcome, Outcome::Failed(_)));
        if !ended || began >= self.until {
            return;
        }
        self.requests += 1;
        // No more than what it was let in with. A row that nothing was held for may not say how much that was.
        let most = match row.most_completion {
            0 => u64::MAX,
            most => most,
        };
        let tokens = row.prompt_tokens.saturating_add(row.completion_tokens.min(most));
        self.add(Whose::Everybody, &limits.everybody, began, tokens);
        self.add(Whose::Caller(row.caller), &limits.caller, began, tokens);
        if let Some((model, quota)) = limits.of_model(&row.model) {
            self.add(Whose::Model(model.clone()), quota, began, tokens);
        }
        if let Some(key) = row.key {
            // What may be asked for with a key is known once it is used.
            let any = Quota::token_budget_per_month(0);
            self.add(Whose::Key(key), &any, began, tokens);
        }
    }

    fn add(&mut self, whose: Whose, quota: &Quota, began: Duration, tokens: u64) {
        let of_tokens = || quota.windows().filter(|window| window.kind.unit == Unit::Tokens);
        let refills = of_tokens().find(|window| window.kind.period == Period::Day);
        if refills.is_none() && !of_tokens().any(|window| window.kind.is_budget()) {
            return;
        }
        let from = self.from();
        let scope = whose.scope();
        let used = match self.used.entry(whose) {
            Entry::Occupied(used) => used.into_mut(),
            Entry::Vacant(_) if self.counts[scope as usize] >= self.most => {
                self.left_out = true;
                return;
            }
            Entry::Vacant(vacant) => {
                self.counts[scope as usize] += 1;
                vacant.insert(Used {
                    day: 0,
                    month: 0,
                    refills: refills.map(|window| Refills {
                        window,
                        level: window.capacity(),
                        at: from,
                    }),
                })
            }
        };
        if began >= self.day {
            used.day = used.day.saturating_add(tokens);
        }
        if began >= self.month {
            used.month = used.month.saturating_add(tokens);
        }
        if let Some(refills) = &mut used.refills {
            refills.take(began, tokens);
        }
    }
}

impl Refills {
    fn level(&self, now: Duration) -> u128 {
        let drained = now.saturating_sub(self.at).as_nanos() * u128::from(self.window.amount);
        self.level.saturating_sub(drained)
    }

    fn take(&mut self, at: Duration, units: u64) {
        let level = self.level(at) + self.window.cost(units);
        self.level = level.min(self.window.capacity());
        self.at = self.at.max(at);
    }
}
