//! What the rows of a segment add up to, by day and by who asked what of whom.

use std::collections::BTreeMap;

use serde::Serialize;
use synapse_core::{CallerId, KeyId, Micros, NodeId};

use super::{
    Outcome, TopUp, UnixMillis,
    calendar::{self, Day},
    record::{Entry, Record},
};

/// Sums over requests that are over.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Totals {
    /// Requests.
    pub requests: u64,
    /// Of those, replies that were handed on whole.
    pub complete: u64,
    /// Of those, the ones during which the gateway ended.
    pub interrupted: u64,
    /// Tokens of prompts, as we counted them.
    pub prompt_tokens: u64,
    /// Tokens of replies, as we counted them.
    pub completion_tokens: u64,
    /// What all of it cost.
    pub charge: Micros,
}

/// Whose requests a sum is of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Group {
    pub(super) day: Day,
    pub(super) caller: Option<CallerId>,
    pub(super) key: Option<KeyId>,
    pub(super) model: String,
    pub(super) miner: Option<NodeId>,
}

/// What a segment holds, as far as it outlives its rows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Summary {
    pub(super) groups: BTreeMap<Group, Totals>,
    pub(super) top_ups: Vec<TopUp>,
    /// The earliest and the latest end of a request.
    pub(super) times: Option<(UnixMillis, UnixMillis)>,
}

impl Totals {
    fn count(&mut self, entry: &Entry) {
        let closing = &entry.closing;
        self.add(&Self {
            requests: 1,
            complete: (closing.outcome == Outcome::Complete).into(),
            interrupted: (closing.outcome == Outcome::Interrupted).into(),
            prompt_tokens: closing.prompt.tokens(),
            completion_tokens: closing.completion.tokens(),
            charge: closing.charge,
        });
    }

    /// Adds other sums.
    pub fn add(&mut self, other: &Self) {
        let add = |sum: &mut u64, more: u64| *sum = sum.saturating_add(more);
        add(&mut self.requests, other.requests);
        add(&mut self.complete, other.complete);
        add(&mut self.interrupted, other.interrupted);
        add(&mut self.prompt_tokens, other.prompt_tokens);
        add(&mut self.completion_tokens, other.completion_tokens);
        add(&mut self.charge.0, other.charge.0);
    }
}

impl Group {
    pub(super) fn of(entry: &Entry) -> Self {
        Self {
            day: calendar::day(entry.closing.at),
            caller: entry.opening.caller.clone(),
            key: entry.opening.key.clone(),
            model: entry.opening.model.clone(),
            miner: entry.closing.miner.clone(),
        }
    }
}

impl Summary {
    /// Takes a row in, whatever it says.
    pub(super) fn take(&mut self, record: Record) {
        match record {
            Record::Closed(entry) => self.count(&entry),
            Record::ToppedUp(top_up) => self.top_ups.push(top_up),
            Record::Opened(_) | Record::Durable(_) | Record::Gap => {}
        }
    }

    pub(super) fn count(&mut self, entry: &Entry) {
        let at = entry.closing.at;
        let (first, last) = self.times.unwrap_or((at, at));
        self.times = Some((first.min(at), last.max(at)));
        self.groups.entry(Group::of(entry)).or_default().count(entry);
    }
}
