//! Whose turn it is: deficit round robin over tokens, without a clock and without waiting.

use std::{cmp::Ordering, collections::HashMap};

use super::{
    asker::{Asker, Claim},
    flow::{Flow, TOKEN, Waiter, in_parts, longer, weight},
};

/// Places, and callers who wait for one.
///
/// Each caller has a line and a balance of his own. Whose turn it is, is found as deficit round robin finds it with a
/// quantum too small to see: all who wait are paid by their weight until the first of them can pay for his next request.
/// What a request took in the end is settled with its guess. Who owes and has left is paid on, up to nothing; who is owed
/// and has nobody in line is owed nothing.
#[derive(Debug)]
pub(super) struct Turns<T> {
    places: usize,
    busy: usize,
    bound: usize,
    most_askers: usize,
    waiting: usize,
    entered: u64,
    turns: u64,
    flows: HashMap<Asker, Flow<T>>,
}

/// What somebody found who came in.
#[derive(Debug)]
pub(super) enum Entered<T> {
    /// A place was free.
    Started(Turn),
    /// A position in line, counted from 1, and who had to go for it.
    Waits {
        asker: Asker,
        number: u64,
        position: usize,
        displaced: Option<T>,
    },
    /// No position, and nobody who holds more than his share of them.
    Full,
}

/// A place at the engine, to be given back with what was taken.
#[derive(Debug)]
pub(super) struct Turn {
    asker: Asker,
    /// What was charged for it; nothing where nobody else wanted the place.
    charged: Option<u64>,
}

/// One caller at one moment.
#[derive(Debug, Clone)]
pub(super) struct Account {
    pub(super) asker: Asker,
    pub(super) stake: u64,
    pub(super) waiting: usize,
    pub(super) busy: usize,
    /// In tokens.
    pub(super) balance: i64,
}

impl<T> Turns<T> {
    pub(super) fn new(places: usize, bound: usize, most_askers: usize) -> Self {
        Self {
            places,
            busy: 0,
            bound,
            most_askers,
            waiting: 0,
            entered: 0,
            turns: 0,
            flows: HashMap::new(),
        }
    }

    pub(super) fn places(&self) -> usize {
        self.places
    }

    pub(super) fn busy(&self) -> usize {
        self.busy
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }

    /// So many places from now on. Whoever has one keeps it; hand out what came free.
    pub(super) fn set_places(&mut self, places: usize) {
        self.places = places;
    }

    /// How many are likely to start before this one, if he came now.
    pub(super) fn ahead_of(&self, claim: &Claim) -> usize {
        let asker = self.asker_of(claim);
        let own = self
            .flows
            .get(&asker)
            .map_or(0, |flow| flow.before(claim.priority));
        let top = self.top_stake().max(claim.stake);
        let others = self
            .flows
            .iter()
            .filter(|(other, flow)| **other != asker && flow.waits() > 0);
        let (mut waiting, mut weights) = (0, 0);
        for (_, flow) in others {
            waiting += flow.waits();
            weights += weight(flow.stake, top);
        }
        let meanwhile = (own as u64 + 1) * weights.unsigned_abs() / weight(claim.stake, top).unsigned_abs();
        own + waiting.min(usize::try_from(meanwhile).unwrap_or(usize::MAX))
    }

    /// Takes somebody in. `token` comes back with his turn.
    pub(super) fn enter(&mut self, claim: &Claim, token: T) -> Entered<T> {
        if self.flows.len() >= self.most_askers && !self.flows.contains_key(&claim.asker) {
            // Better to forget a debt than to lump together those who are here.
            self.flows.retain(|_, flow| flow.waits() > 0 || flow.busy > 0);
        }
        let asker = self.asker_of(claim);
        if self.waiting == 0 && self.busy < self.places {
            self.busy += 1;
            self.flow(&asker, claim.stake).busy += 1;
            return Entered::Started(Turn { asker, charged: None });
        }
        let position = self.ahead_of(claim) + 1;
        let displaced = if self.waiting < self.bound {
            None
        } else {
            match self.displace(&asker, claim.stake) {
                Some(token) => Some(token),
                None => return Entered::Full,
            }
        };
        let number = self.entered;
        self.entered += 1;
        self.waiting += 1;
        let waiter = Waiter {
            number,
            cost: claim.cost,
            token,
        };
        self.flow(&asker, claim.stake).push(claim.priority, waiter);
        Entered::Waits {
            asker,
            number,
            position,
            displaced,
        }
    }

    /// The next one's turn, where a place is free and somebody waits.
    pub(super) fn next(&mut self) -> Option<(Turn, T)> {
        if self.busy >= self.places || self.waiting == 0 {
            return None;
        }
        let top = self.top_stake();
        let (time, asker) = self
            .flows
            .iter()
            .filter_map(|(asker, flow)| {
                let head = flow.head()?;
                let missing = (in_parts(head.cost) - flow.balance).max(0);
                let time = missing
                    .unsigned_abs()
                    .div_ceil(weight(flow.stake, top).unsigned_abs());
                Some((time.cast_signed(), flow.last_turn, head.number, asker))
            })
            .min()
            .map(|(time, .., asker)| (time, asker.clone()))?;
        self.flows.retain(|_, flow| {
            let pay = time.saturating_mul(weight(flow.stake, top));
            flow.balance = flow.balance.saturating_add(pay);
            flow.owe_no_idler();
            !flow.is_idle()
        });
        self.turns += 1;
        let turns = self.turns;
        let flow = self.flows.get_mut(&asker)?;
        let waiter = flow.take()?;
        flow.balance -= in_parts(waiter.cost);
        flow.owe_no_idler();
        flow.last_turn = turns;
        flow.busy += 1;
        self.busy += 1;
        self.waiting -= 1;
        let turn = Turn {
            asker,
            charged: Some(waiter.cost),
        };
        Some((turn, waiter.token))
    }

    /// A place came free, and so many tokens were taken.
    pub(super) fn finish(&mut self, turn: Turn, used: u64) {
        let Turn { asker, charged } = turn;
        self.busy -= 1;
        if let Some(flow) = self.flows.get_mut(&asker) {
            flow.busy -= 1;
            if let Some(charged) = charged {
                flow.balance += in_parts(charged) - in_parts(used);
                flow.owe_no_idler();
            }
        }
        self.forget(&asker);
    }

    /// Whether he was still in line, and is no more.
    pub(super) fn leave(&mut self, asker: &Asker, number: u64) -> bool {
        let Some(flow) = self.flows.get_mut(asker) else {
            return false;
        };
        let found = flow.remove(number);
        if found {
            flow.owe_no_idler();
            self.waiting -= 1;
            self.forget(asker);
        }
        found
    }

    /// Everybody who waits, sent away.
    pub(super) fn clear(&mut self) -> Vec<T> {
        let mut tokens = Vec::with_capacity(self.waiting);
        for flow in self.flows.values_mut() {
            let waiters = flow.interactive.drain(..).chain(flow.batch.drain(..));
            tokens.extend(waiters.map(|waiter| waiter.token));
            flow.owe_no_idler();
        }
        self.waiting = 0;
        self.flows.retain(|_, flow| !flow.is_idle());
        tokens
    }

    /// Who is known, whoever has most in line first.
    pub(super) fn accounts(&self) -> Vec<Account> {
        let mut accounts: Vec<Account> = self
            .flows
            .iter()
            .map(|(asker, flow)| Account {
                asker: asker.clone(),
                stake: flow.stake,
                waiting: flow.waits(),
                busy: flow.busy,
                balance: flow.balance / TOKEN,
            })
            .collect();
        accounts.sort_by(|one, other| {
            (other.waiting.cmp(&one.waiting)).then_with(|| one.asker.cmp(&other.asker))
        });
        accounts
    }

    /// Himself, or one of many where too many are here.
    fn asker_of(&self, claim: &Claim) -> Asker {
        if self.flows.len() < self.most_askers || self.flows.contains_key(&claim.asker) {
            claim.asker.clone()
        } else {
            Asker::Others
        }
    }

    fn flow(&mut self, asker: &Asker, stake: u64) -> &mut Flow<T> {
        let turns = self.turns;
        let flow = self
            .flows
            .entry(asker.clone())
            .or_insert_with(|| Flow::new(turns));
        flow.stake = if *asker == Asker::Others { 0 } else { stake };
        flow
    }

    /// Sends away the newest of the caller whose line is longest for his weight, where it stays longer than the
    /// newcomer's even so.
    fn displace(&mut self, newcomer: &Asker, stake: u64) -> Option<T> {
        let top = self.top_stake().max(stake);
        let length = |flow: &Flow<T>, more: usize| (flow.waits() + more, weight(flow.stake, top));
        let own = self
            .flows
            .get(newcomer)
            .map_or((1, weight(stake, top)), |flow| length(flow, 1));
        let (_, asker) = self
            .flows
            .iter()
            .filter(|(asker, _)| *asker != newcomer)
            .map(|(asker, flow)| (length(flow, 0), asker))
            .max_by(|(one, a), (other, b)| longer(*one, *other).then_with(|| a.cmp(b)))
            .filter(|(longest, _)| longer(*longest, own) == Ordering::Greater)?;
        let asker = asker.clone();
        let flow = self.flows.get_mut(&asker)?;
        let waiter = flow.batch.pop_back().or_else(|| flow.interactive.pop_back())?;
        flow.owe_no_idler();
        self.waiting -= 1;
        self.forget(&asker);
        Some(waiter.token)
    }

    fn forget(&mut self, asker: &Asker) {
        if self.flows.get(asker).is_some_and(Flow::is_idle) {
            self.flows.remove(asker);
        }
    }

    fn top_stake(&self) -> u64 {
        self.flows.values().map(|flow| flow.stake).max().unwrap_or(0)
    }
}
