//! The accounts of all callers: bounded, and exact under concurrency.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    sync::{Mutex, MutexGuard, PoisonError, RwLock},
    time::Duration,
};

use synapse_core::{CallerId, Error, ErrorKind, RateLimitStatus, Retry};
use tokio::time::Instant;

use super::{
    gcra::{Bucket, Nanos, Refusal},
    quota::{Quota, Unit, Window},
};

/// Parts of the accounts that are locked apart.
const SHARDS: usize = 16;
/// A full shard is searched for idle accounts this often at most.
const SWEEP_PAUSE: Nanos = 1_000_000_000;
/// When to come back where there is no room for another caller.
const NO_ROOM: Duration = Duration::from_secs(1);

/// The accounts of all callers under one quota.
///
/// A check and a taking from both windows happen under one lock. An account whose windows are full again is as good as
/// none, so those go when a shard has no room.
#[derive(Debug)]
pub(super) struct Limiter {
    /// What each shard has, too: there it changes under the lock of its accounts.
    quota: RwLock<Quota>,
    began: Instant,
    hasher: RandomState,
    shards: Box<[Mutex<Shard>]>,
    per_shard: usize,
}

#[derive(Debug)]
struct Shard {
    quota: Quota,
    accounts: HashMap<Key, Account>,
    next_sweep: Nanos,
}

/// Whose account it is; `None` is everybody who did not say.
pub(super) type Key = Option<CallerId>;

#[derive(Debug, Clone, Copy, Default)]
struct Account {
    requests: Bucket,
    tokens: Bucket,
}

/// What a request takes from both windows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cost {
    pub(super) requests: u64,
    pub(super) tokens: u64,
}

impl Account {
    fn is_full(&self, quota: &Quota, now: Nanos) -> bool {
        quota
            .requests
            .is_none_or(|window| self.requests.is_full(window, now))
            && quota.tokens.is_none_or(|window| self.tokens.is_full(window, now))
    }

    fn status(&self, quota: &Quota, now: Nanos) -> RateLimitStatus {
        RateLimitStatus::new(
            quota.requests.map(|window| self.requests.status(window, now)),
            quota.tokens.map(|window| self.tokens.status(window, now)),
        )
    }
}

impl Limiter {
    pub(super) fn new(quota: Quota, max_callers: usize) -> Self {
        let shard = || Shard {
            quota,
            accounts: HashMap::new(),
            next_sweep: 0,
        };
        Self {
            quota: RwLock::new(quota),
            began: Instant::now(),
            hasher: RandomState::new(),
            shards: (0..SHARDS).map(|_| Mutex::new(shard())).collect(),
            per_shard: max_callers.div_ceil(SHARDS).max(1),
        }
    }

    pub(super) fn quota(&self) -> Quota {
        *self.quota.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Holds everybody to another quota from now on. What was taken stays taken, but for what the new one never holds.
    pub(super) fn set_quota(&self, quota: Quota) {
        let mut current = self.quota.write().unwrap_or_else(PoisonError::into_inner);
        *current = quota;
        for shard in &self.shards {
            let mut shard = lock(shard);
            let now = self.now();
            let old = std::mem::replace(&mut shard.quota, quota);
            for account in shard.accounts.values_mut() {
                account.requests = account.requests.moved(old.requests, quota.requests, now);
                account.tokens = account.tokens.moved(old.tokens, quota.tokens, now);
            }
        }
    }

    /// How many callers have an account.
    pub(super) fn callers(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).accounts.len()).sum()
    }

    /// Takes `cost` from both windows, or nothing.
    ///
    /// # Errors
    /// Which window has not enough, and when it has.
    pub(super) fn reserve(&self, key: &Key, cost: Cost) -> Result<RateLimitStatus, Error> {
        let mut shard = self.shard(key);
        // Read under the lock, so that an account's times never run backwards.
        let now = self.now();
        let quota = shard.quota;
        if !shard.accounts.contains_key(key) && shard.accounts.len() >= self.per_shard {
            if now >= shard.next_sweep {
                shard.accounts.retain(|_, account| !account.is_full(&quota, now));
                shard.next_sweep = now + SWEEP_PAUSE;
            }
            if shard.accounts.len() >= self.per_shard {
                return Err(no_room());
            }
        }
        let account = shard.accounts.get(key).copied().unwrap_or_default();
        let windows = [
            (Unit::Requests, quota.requests, account.requests, cost.requests),
            (Unit::Tokens, quota.tokens, account.tokens, cost.tokens),
        ];
        let mut longest: Option<(Duration, Unit, Window)> = None;
        for (unit, window, bucket, units) in windows {
            let Some(window) = window else { continue };
            match bucket.check(window, now, units) {
                Ok(()) => {}
                Err(Refusal::Never) if window.amount == 0 => return Err(holds_nothing(window, unit)),
                Err(Refusal::Never) => return Err(exceeds(window, unit, units)),
                Err(Refusal::Wait(wait)) if longest.is_none_or(|(longest, ..)| wait > longest) => {
                    longest = Some((wait, unit, window));
                }
                Err(Refusal::Wait(_)) => {}
            }
        }
        if let Some((wait, unit, window)) = longest {
            return Err(used_up(window, unit, wait));
        }
        let account = shard.accounts.entry(key.clone()).or_default();
        if let Some(window) = quota.requests {
            account.requests.take(window, now, cost.requests);
        }
        if let Some(window) = quota.tokens {
            account.tokens.take(window, now, cost.tokens);
        }
        Ok(account.status(&quota, now))
    }

    /// Gives `cost` back.
    pub(super) fn refund(&self, key: &Key, cost: Cost) {
        let mut shard = self.shard(key);
        let quota = shard.quota;
        // An account that is gone was full, so there is nothing to give back to.
        if let Some(account) = shard.accounts.get_mut(key) {
            if let Some(window) = quota.requests {
                account.requests.give_back(window, cost.requests);
            }
            if let Some(window) = quota.tokens {
                account.tokens.give_back(window, cost.tokens);
            }
        }
    }

    fn shard(&self, key: &Key) -> MutexGuard<'_, Shard> {
        let hash = self.hasher.hash_one(key);
        let index = usize::try_from(hash % SHARDS as u64).expect("below the number of shards");
        lock(&self.shards[index])
    }

    fn now(&self) -> Nanos {
        u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

fn used_up(window: Window, unit: Unit, wait: Duration) -> Error {
    Error::new(
        ErrorKind::RateLimited,
        "rate_limited",
        format!("the quota of {} is used up", window.named(unit)),
    )
    .with_retry(Retry::After(wait))
    .with_hint(format!(
        "the same request fits in {} s",
        wait.as_nanos().div_ceil(1_000_000_000)
    ))
}

fn exceeds(window: Window, unit: Unit, units: u64) -> Error {
    Error::invalid(
        "request_exceeds_quota",
        format!(
            "the request may take {units}, and the quota of {} never holds so much",
            window.named(unit)
        ),
    )
    .with_hint("shorten the prompt or lower max_tokens")
}

fn holds_nothing(window: Window, unit: Unit) -> Error {
    Error::new(
        ErrorKind::Forbidden,
        "quota_is_zero",
        format!(
            "the quota is {}, so that no request is let in",
            window.named(unit)
        ),
    )
    .with_hint("ask the operator for a quota")
}

fn no_room() -> Error {
    Error::new(
        ErrorKind::Overloaded,
        "too_many_callers",
        "more callers are active than the rate limit can tell apart",
    )
    .with_retry(Retry::After(NO_ROOM))
}
