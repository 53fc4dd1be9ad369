//! What each caller uses now.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use synapse_core::NodeId;
use tokio::time::Instant;

use super::{
    bucket::{Bucket, Nanos},
    refusal::Reason,
    rules::CallerLimits,
};

/// Callers that are told apart at once. Who uses nothing is forgotten, and loses nothing by it.
const MOST: usize = 16_384;
/// When somebody who has too many requests under way may try again: one of them may have ended.
const SOON: Duration = Duration::from_secs(1);

/// What each caller uses now. Only those who use something are kept.
#[derive(Debug)]
pub(super) struct Callers {
    began: Instant,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    usage: HashMap<NodeId, Usage>,
    /// When it is worth to look for those who use nothing.
    sweep_at: usize,
}

#[derive(Debug, Default)]
struct Usage {
    in_flight: u32,
    requests: Bucket,
    tokens: Bucket,
}

impl Usage {
    fn is_nothing(&self, now: Nanos) -> bool {
        self.in_flight == 0 && self.requests.is_full(now) && self.tokens.is_full(now)
    }
}

impl Callers {
    pub(super) fn new() -> Self {
        Self {
            began: Instant::now(),
            table: Mutex::default(),
        }
    }

    /// Counts a request of about `tokens` in, and says how many tokens it was charged.
    ///
    /// # Errors
    /// Which limit it exceeds, and when it would not.
    pub(super) fn enter(
        &self,
        node: &NodeId,
        limits: CallerLimits,
        tokens: u64,
    ) -> Result<u64, (Reason, Duration)> {
        let now = self.now();
        let mut table = self.lock();
        if !table.usage.contains_key(node) && !table.has_room(now) {
            return Err((Reason::Callers, SOON));
        }
        let usage = table.usage.entry(node.clone()).or_default();
        if limits.in_flight.is_some_and(|most| usage.in_flight >= most) {
            return Err((Reason::InFlight, SOON));
        }
        let mut requests = usage.requests.of(limits.requests.unwrap_or(0));
        let mut spent = usage.tokens.of(limits.tokens.unwrap_or(0));
        requests.check(now, 1).map_err(|wait| (Reason::Requests, wait))?;
        spent.check(now, tokens).map_err(|wait| (Reason::Tokens, wait))?;
        requests.take(now, 1);
        let charged = spent.take(now, tokens);
        (usage.requests, usage.tokens) = (requests, spent);
        usage.in_flight += 1;
        Ok(charged)
    }

    /// Counts a request out that was charged so many tokens, and used so many.
    pub(super) fn leave(&self, node: &NodeId, charged: u64, used: u64) {
        let now = self.now();
        let mut table = self.lock();
        if let Some(usage) = table.usage.get_mut(node) {
            usage.in_flight = usage.in_flight.saturating_sub(1);
            usage.tokens.settle(now, charged, used);
            if usage.is_nothing(now) {
                table.usage.remove(node);
            }
        }
    }

    /// How many use something, and how many requests of theirs are under way.
    pub(super) fn count(&self) -> (usize, u64) {
        let table = self.lock();
        let in_flight = table.usage.values().map(|usage| u64::from(usage.in_flight));
        (table.usage.len(), in_flight.sum())
    }

    fn now(&self) -> Nanos {
        u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    /// Whether one more can be told apart, once those are forgotten who use nothing.
    fn has_room(&mut self, now: Nanos) -> bool {
        if self.usage.len() >= self.sweep_at {
            self.usage.retain(|_, usage| !usage.is_nothing(now));
            self.sweep_at = (self.usage.len() * 2).clamp(64, MOST);
        }
        self.usage.len() < MOST
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn many_callers_take_bounded_room_and_none_loses_its_count() {
        let callers = Callers::new();
        let limits = CallerLimits::default().requests_per_minute(1);
        let greedy = NodeId::from("greedy");
        assert!(callers.enter(&greedy, limits, 0).is_ok());
        callers.leave(&greedy, 0, 0);
        for number in 0..MOST - 1 {
            let node = NodeId::from(format!("caller-{number}"));
            assert!(callers.enter(&node, limits, 0).is_ok());
            callers.leave(&node, 0, 0);
        }
        let (full, _) = callers.enter(&"one more".into(), limits, 0).unwrap_err();
        assert_eq!((full, callers.count().0), (Reason::Callers, MOST));
        let (used_up, _) = callers.enter(&greedy, limits, 0).unwrap_err();
        assert_eq!(used_up, Reason::Requests);
        tokio::time::advance(Duration::from_secs(60)).await;
        assert!(callers.enter(&"one more".into(), limits, 0).is_ok());
        assert_eq!(callers.count(), (1, 1));
    }
}
