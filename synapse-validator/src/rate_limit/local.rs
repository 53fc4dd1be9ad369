//! Accounts in this process: bounded, and exact under concurrency.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    path::Path,
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

use synapse_core::{Error, ErrorKind, Retry, WallClock};

use super::{
    account::{Account, Scope, Whose},
    calendar::{Clock, Moment},
    demand::{Cost, Demands},
    gcra::Nanos,
    limits::Limits,
    past::{Past, Restored},
    quota::Window,
    store::{Accounts, Granted, Receipt},
    verdict::{Lacking, Level, Nearest, Refused},
};

/// Parts of the accounts that are locked apart.
const SHARDS: usize = 16;
/// A full shard is searched for idle accounts this often at most.
const SWEEP_PAUSE: Nanos = 1_000_000_000;
/// When to come back where there is no room for another account.
const NO_ROOM: Duration = Duration::from_secs(1);
/// Of somebody who has taken nothing.
static EMPTY: Account = Account::new();

/// The accounts of one process.
///
/// All windows of a request are checked and taken from under the locks of all its accounts, which are taken in one order.
/// An account whose windows are full again is as good as none, so those go when a shard has no room.
#[derive(Debug)]
pub(super) struct Local {
    clock: Clock,
    hasher: RandomState,
    shards: Box<[Mutex<Shard>]>,
    per_shard: usize,
    /// What was used of budgets before this process began, once that is known.
    past: OnceLock<Past>,
}

#[derive(Debug, Default)]
struct Shard {
    accounts: HashMap<Whose, Account>,
    /// How many there are of each scope.
    counts: [usize; Scope::ALL.len()],
    next_sweep: Nanos,
}

impl Shard {
    /// Whether there is room for this account.
    fn has_room(&mut self, whose: &Whose, most: usize, now: Moment) -> bool {
        let scope = whose.scope();
        if !scope.is_open() || self.counts[scope as usize] < most || self.accounts.contains_key(whose) {
            return true;
        }
        if now.nanos >= self.next_sweep {
            self.next_sweep = now.nanos + SWEEP_PAUSE;
            self.accounts.retain(|_, account| !account.is_full(now));
            self.counts = Default::default();
            for whose in self.accounts.keys() {
                self.counts[whose.scope() as usize] += 1;
            }
        }
        self.counts[scope as usize] < most
    }

    fn account(&mut self, whose: &Whose) -> &mut Account {
        if !self.accounts.contains_key(whose) {
            self.counts[whose.scope() as usize] += 1;
        }
        self.accounts.entry(whose.clone()).or_default()
    }
}

/// The shards of some demands, locked.
struct Held<'a> {
    /// Of each demand.
    wanted: [Option<usize>; Scope::ALL.len()],
    guards: [Option<(usize, MutexGuard<'a, Shard>)>; Scope::ALL.len()],
}

impl Held<'_> {
    /// The shard of the demand at this place.
    fn shard(&mut self, place: usize) -> &mut Shard {
        let wanted = self.wanted[place];
        let guard = self
            .guards
            .iter_mut()
            .flatten()
            .find(|(index, _)| Some(*index) == wanted);
        &mut guard.expect("the shard of every demand is held").1
    }
}

impl Local {
    /// At most `most` accounts of each scope.
    pub(super) fn new(most: usize, wall: &dyn WallClock) -> Self {
        Self {
            clock: Clock::start(wall),
            hasher: RandomState::new(),
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            per_shard: most.div_ceil(SHARDS).max(1),
            past: OnceLock::new(),
        }
    }

    /// Goes on from what the ledger in this directory says, once.
    ///
    /// # Errors
    /// Those of [`Past::read`].
    pub(super) fn restore(&self, directory: &Path, limits: &Limits) -> Result<Restored, Error> {
        let past = Past::read(directory, limits, self.clock.began(), self.per_shard * SHARDS)?;
        let restored = past.restored();
        if self.past.set(past).is_ok()
            && let Some(past) = self.past.get()
        {
            let now = self.clock.now();
            for (whose, window, level) in past.refilling(now.unix) {
                let Some(quota) = limits.of(whose) else { continue };
                let mut shard = lock(&self.shards[self.index(whose)]);
                if shard.has_room(whose, self.per_shard, now) {
                    shard.account(whose).put_in(quota, window, now, level);
                }
            }
        }
        Ok(restored)
    }

    /// What is used of `window`, with what was before this process began.
    fn level(&self, account: &Account, whose: &Whose, window: Window, now: Moment) -> Level {
        self.with_past(whose, window, now, account.level(window, now))
    }

    fn with_past(&self, whose: &Whose, window: Window, now: Moment, level: Level) -> Level {
        match self.past.get() {
            Some(past) if window.kind.is_budget() => {
                level.plus(window, past.of_budget(whose, window, now.unix))
            }
            _ => level,
        }
    }

    /// How many accounts there are of a scope.
    pub(super) fn accounts(&self, scope: Scope) -> usize {
        self.shards
            .iter()
            .map(|shard| lock(shard).counts[scope as usize])
            .sum()
    }

    /// Takes `cost` from all windows, or nothing.
    ///
    /// # Errors
    /// Which window has not enough, and when it has.
    pub(super) fn take(&self, demands: &Demands, cost: Cost) -> Result<Granted, Refused> {
        let mut held = self.hold(demands);
        // Read under the locks, so that an account's times never run backwards.
        let now = self.clock.now();
        let mut lacking = Lacking::default();
        for (place, demand) in demands.iter().enumerate() {
            let shard = held.shard(place);
            if !shard.has_room(&demand.whose, self.per_shard, now) {
                return Err(no_room(demand.whose.scope()));
            }
            let account = shard.accounts.get(&demand.whose).unwrap_or(&EMPTY);
            for window in demand.quota.windows() {
                let level = self.level(account, &demand.whose, window, now);
                lacking.weigh(demand.whose.scope(), window, level, cost.of(window));
            }
        }
        let fits = !lacking.is_some();
        let mut nearest = Nearest::default();
        for (place, demand) in demands.iter().enumerate() {
            let shard = held.shard(place);
            if fits {
                let account = shard.account(&demand.whose);
                account.take(&demand.quota, now, cost, |window, level| {
                    nearest.add(window, self.with_past(&demand.whose, window, now, level));
                });
            } else {
                if let Some(account) = shard.accounts.get_mut(&demand.whose) {
                    account.begin(&demand.quota, now);
                }
                let account = shard.accounts.get(&demand.whose).unwrap_or(&EMPTY);
                for window in demand.quota.windows() {
                    nearest.add(window, self.level(account, &demand.whose, window, now));
                }
            }
        }
        let status = nearest.status();
        lacking.refuse(demands, cost, status)?;
        Ok(Granted {
            status,
            receipt: Receipt {
                taken: now.unix,
                #[cfg(feature = "redis")]
                reservation: None,
            },
        })
    }

    fn hold(&self, demands: &Demands) -> Held<'_> {
        let mut wanted = [None; Scope::ALL.len()];
        for (place, demand) in wanted.iter_mut().zip(demands.iter()) {
            *place = Some(self.index(&demand.whose));
        }
        let mut held = Held {
            wanted,
            guards: Default::default(),
        };
        // Everybody locks in this order, and each shard once.
        wanted.sort_unstable();
        let mut last = None;
        for (guard, index) in held.guards.iter_mut().zip(wanted) {
            if let Some(shard) = index
                && index != last
            {
                *guard = Some((shard, lock(&self.shards[shard])));
                last = index;
            }
        }
        held
    }

    fn index(&self, whose: &Whose) -> usize {
        let hash = self.hasher.hash_one(whose);
        usize::try_from(hash % SHARDS as u64).expect("below the number of shards")
    }
}

impl Accounts for Local {
    async fn reserve(&self, demands: &Demands, cost: Cost) -> Result<Granted, Refused> {
        self.take(demands, cost)
    }

    fn settle(&self, demands: &Demands, receipt: Receipt, refund: Cost) {
        if refund == Cost::NONE {
            return;
        }
        for demand in demands.iter() {
            let mut shard = lock(&self.shards[self.index(&demand.whose)]);
            // An account that is gone was full, so there is nothing to give back to.
            if let Some(account) = shard.accounts.get_mut(&demand.whose) {
                for window in demand.quota.windows() {
                    account.give_back(window, receipt.taken, refund.of(window));
                }
            }
        }
    }
}

fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

fn no_room(scope: Scope) -> Refused {
    Refused {
        scope: Some(scope),
        error: Error::new(
            ErrorKind::Overloaded,
            "too_many_callers",
            "more callers are active than the rate limit can tell apart",
        )
        .with_retry(Retry::After(NO_ROOM)),
    }
}
