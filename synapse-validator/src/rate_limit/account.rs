//! Whose windows they are, and what is used of them.

use std::{net::IpAddr, sync::Arc, time::Duration};

use synapse_core::{CallerId, KeyId};

use super::{
    calendar::Moment,
    demand::Cost,
    gcra::Bucket,
    quota::{Quota, Window},
    verdict::Level,
};

/// Whose account it is. What nobody said is `None`: all of those share one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Whose {
    Everybody,
    Caller(Option<CallerId>),
    Key(KeyId),
    Model(Arc<str>),
    Address(Option<IpAddr>),
}

/// What is limited: in metrics, the label `scope`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    Everybody,
    Caller,
    Key,
    Model,
    Address,
}

impl Scope {
    pub(super) const ALL: [Self; 5] = [
        Self::Everybody,
        Self::Caller,
        Self::Key,
        Self::Model,
        Self::Address,
    ];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Everybody => "everybody",
            Self::Caller => "caller",
            Self::Key => "key",
            Self::Model => "model",
            Self::Address => "address",
        }
    }

    /// As it stands before `quota`.
    pub(super) fn possessive(self) -> &'static str {
        match self {
            Self::Everybody => "everybody's",
            Self::Caller => "the",
            Self::Key => "the API key's",
            Self::Model => "the model's",
            Self::Address => "the address's",
        }
    }

    /// Whether there are as many as others like to make up.
    pub(super) fn is_open(self) -> bool {
        matches!(self, Self::Caller | Self::Key | Self::Address)
    }
}

impl Whose {
    /// Whoever asks from there. An IPv6 address counts as its network of 64 bits, which is one subscriber's.
    pub(super) fn at(address: Option<IpAddr>) -> Self {
        Self::Address(address.map(|address| match address.to_canonical() {
            IpAddr::V6(v6) => {
                let network = u128::from(v6) >> 64 << 64;
                IpAddr::V6(network.into())
            }
            v4 @ IpAddr::V4(_) => v4,
        }))
    }

    pub(super) fn scope(&self) -> Scope {
        match self {
            Self::Everybody => Scope::Everybody,
            Self::Caller(_) => Scope::Caller,
            Self::Key(_) => Scope::Key,
            Self::Model(_) => Scope::Model,
            Self::Address(_) => Scope::Address,
        }
    }
}

/// What is used of some windows.
#[derive(Debug, Default)]
pub(super) struct Account {
    slots: Vec<Slot>,
}

/// What is used of one window, as it was when something was taken last.
#[derive(Debug)]
struct Slot {
    window: Window,
    state: State,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Refills(Bucket),
    /// Of the day or month of this number.
    Budget {
        number: u64,
        used: u64,
    },
}

impl Slot {
    fn new(window: Window, now: Moment, level: Level) -> Self {
        let state = match level {
            Level::Refills(level) => State::Refills(Bucket::at_level(window, now.nanos, level)),
            Level::Budget { used, .. } => State::Budget {
                number: window.kind.period.number(now.unix),
                used,
            },
        };
        Self { window, state }
    }

    fn level(&self, now: Moment) -> Level {
        match self.state {
            State::Refills(bucket) => Level::Refills(bucket.level(self.window, now.nanos)),
            State::Budget { number, used } => {
                let current = self.window.kind.period.number(now.unix);
                Level::budget(self.window, now.unix, if number == current { used } else { 0 })
            }
        }
    }
}

impl Account {
    pub(super) const fn new() -> Self {
        Self { slots: Vec::new() }
    }

    /// What is used of `window`.
    ///
    /// Where its amount was another one, what was taken stays taken, as far as a window that refills holds it. One that
    /// refills and was not there before begins with what the others of its unit have in use.
    pub(super) fn level(&self, window: Window, now: Moment) -> Level {
        if let Some(slot) = self.slots.iter().find(|slot| slot.window.kind == window.kind) {
            return slot.level(now).within(window);
        }
        if window.kind.is_budget() {
            return Level::budget(window, now.unix, 0);
        }
        let others = self
            .slots
            .iter()
            .filter(|slot| slot.window.kind.unit == window.kind.unit);
        let units = others.filter_map(|slot| slot.level(now).units(slot.window)).max();
        Level::Refills(window.cost(units.unwrap_or(0).min(window.amount)))
    }

    /// Takes `cost` of each window of `quota`; `taken` hears what is used of it then.
    pub(super) fn take(
        &mut self,
        quota: &Quota,
        now: Moment,
        cost: Cost,
        mut taken: impl FnMut(Window, Level),
    ) {
        // So that it makes no difference whether it was removed meanwhile.
        if self.is_full(now) {
            self.slots.clear();
        }
        self.begin(quota, now);
        for window in quota.windows() {
            let level = self.level(window, now).plus(window, cost.of(window));
            if let Some(slot) = self.slot(window) {
                *slot = Slot::new(window, now, level);
            }
            taken(window, level);
        }
    }

    /// Keeps a state of each window of `quota`, so that one that was not there before drains from now on. All of them are
    /// there before any is taken from: a new one begins with what was in use before this request.
    pub(super) fn begin(&mut self, quota: &Quota, now: Moment) {
        for window in quota.windows() {
            if self.slot(window).is_none() {
                let slot = Slot::new(window, now, self.level(window, now));
                self.slots.push(slot);
            }
        }
    }

    /// Takes so much of a window that refills as was used of it before, beside what was taken since. Other windows of its
    /// quota have what was taken since, and not what was used of this one.
    pub(super) fn put_in(&mut self, quota: &Quota, window: Window, now: Moment, before: u128) {
        self.begin(quota, now);
        if let Some(slot) = self.slot(window)
            && let Level::Refills(since) = slot.level(now).within(window)
        {
            *slot = Slot::new(window, now, Level::Refills(since + before).within(window));
        }
    }

    fn slot(&mut self, window: Window) -> Option<&mut Slot> {
        self.slots.iter_mut().find(|slot| slot.window.kind == window.kind)
    }

    /// Gives `units` of `window` back that were taken at `taken`: of a budget only where its day or month still goes on.
    pub(super) fn give_back(&mut self, window: Window, taken: Duration, units: u64) {
        let Some(slot) = self.slot(window) else {
            return;
        };
        match &mut slot.state {
            State::Refills(bucket) => bucket.give_back(slot.window, units),
            State::Budget { number, used } => {
                if *number == window.kind.period.number(taken) {
                    *used = used.saturating_sub(units);
                }
            }
        }
    }

    /// Whether nothing is used of anything, so that it is as good as none.
    pub(super) fn is_full(&self, now: Moment) -> bool {
        self.slots.iter().all(|slot| slot.level(now).is_zero())
    }
}
