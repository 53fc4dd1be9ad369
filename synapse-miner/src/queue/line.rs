//! The line itself: places, who waits for one, and how a place goes from hand to hand.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::oneshot, time::Instant};

use super::refusal::Reason;

/// How much the latest request counts in the mean time that a place is held.
const RECENCY: f64 = 0.2;

/// Places and those who wait for them. A free place and somebody in line never exist together.
#[derive(Debug)]
pub(super) struct Line {
    places: usize,
    bound: usize,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    free: usize,
    waiting: VecDeque<Waiter>,
    entered: u64,
    closed: bool,
    crowded_since: Option<Instant>,
    mean_hold: Option<Duration>,
    counts: Counts,
}

#[derive(Debug)]
struct Waiter {
    number: u64,
    grant: oneshot::Sender<Place>,
}

/// What happened so far.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counts {
    pub(super) admitted: u64,
    pub(super) abandoned: u64,
    pub(super) waited: Duration,
    refused: [u64; Reason::ALL.len()],
}

impl Counts {
    pub(super) fn refused(&self, reason: Reason) -> u64 {
        self.refused[reason as usize]
    }
}

/// The line at one moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Snapshot {
    pub(super) waiting: usize,
    pub(super) in_flight: usize,
    pub(super) bound: usize,
    pub(super) crowded_since: Option<Instant>,
    pub(super) counts: Counts,
}

/// How somebody came in.
pub(super) enum Entry {
    Started(Place),
    Waits(Ticket),
}

impl Line {
    pub(super) fn new(places: usize, bound: usize) -> Self {
        Self {
            places,
            bound,
            state: Mutex::new(State {
                free: places,
                waiting: VecDeque::new(),
                entered: 0,
                closed: false,
                crowded_since: None,
                mean_hold: None,
                counts: Counts::default(),
            }),
        }
    }

    pub(super) fn places(&self) -> usize {
        self.places
    }

    pub(super) fn bound(&self) -> usize {
        self.bound
    }

    /// A place, or a position in line.
    pub(super) fn enter(self: &Arc<Self>) -> Result<Entry, Reason> {
        let mut state = self.lock();
        if state.closed {
            return Err(state.refuse(Reason::Closed));
        }
        if state.free > 0 {
            state.free -= 1;
            return Ok(Entry::Started(Place::of(self)));
        }
        if state.waiting.len() >= self.bound {
            return Err(state.refuse(Reason::Full));
        }
        let (grant, granted) = oneshot::channel();
        let number = state.entered;
        state.entered += 1;
        state.waiting.push_back(Waiter { number, grant });
        state.notice_crowd(self.bound);
        Ok(Entry::Waits(Ticket {
            line: self.clone(),
            number,
            position: state.waiting.len(),
            granted,
        }))
    }

    pub(super) fn refuse(&self, reason: Reason) {
        self.lock().refuse(reason);
    }

    pub(super) fn admit(&self, waited: Duration) {
        let counts = &mut self.lock().counts;
        counts.admitted += 1;
        counts.waited += waited;
    }

    /// A place was held this long by a request that was answered.
    pub(super) fn observe_hold(&self, held: Duration) {
        let mean = &mut self.lock().mean_hold;
        *mean = Some(match *mean {
            Some(before) => before.mul_f64(1.0 - RECENCY) + held.mul_f64(RECENCY),
            None => held,
        });
    }

    /// How long somebody who came now would wait, as far as the requests before tell; zero before there were any.
    pub(super) fn expected_wait(&self) -> Duration {
        let state = self.lock();
        let rounds = state.waiting.len() / self.places + 1;
        let mean = state.mean_hold.unwrap_or_default();
        mean.saturating_mul(u32::try_from(rounds).unwrap_or(u32::MAX))
    }

    /// Takes nobody in any more, and sends away who waits.
    pub(super) fn close(&self) {
        let sent_away = {
            let mut state = self.lock();
            state.closed = true;
            state.crowded_since = None;
            let waiting = std::mem::take(&mut state.waiting);
            state.counts.refused[Reason::Closed as usize] += waiting.len() as u64;
            waiting
        };
        // Wakes the waiters, so not under the lock.
        drop(sent_away);
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        let state = self.lock();
        Snapshot {
            waiting: state.waiting.len(),
            in_flight: self.places - state.free,
            bound: self.bound,
            crowded_since: state.crowded_since,
            counts: state.counts,
        }
    }

    /// Hands a place that came free to the first in line who is still there.
    fn pass_on(self: &Arc<Self>) {
        loop {
            let first = {
                let mut state = self.lock();
                let Some(first) = state.waiting.pop_front() else {
                    state.free += 1;
                    return;
                };
                state.notice_crowd(self.bound);
                first
            };
            match first.grant.send(Place::of(self)) {
                Ok(()) => return,
                // Gone between the two lines above: the next one's turn.
                Err(place) => place.keep(),
            }
        }
    }

    /// Whether the one with this number was still in line.
    fn leave(&self, number: u64) -> bool {
        let mut state = self.lock();
        let Ok(at) = state
            .waiting
            .binary_search_by_key(&number, |waiter| waiter.number)
        else {
            return false;
        };
        state.waiting.remove(at);
        state.notice_crowd(self.bound);
        true
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn refuse(&mut self, reason: Reason) -> Reason {
        self.counts.refused[reason as usize] += 1;
        reason
    }

    /// Nine places in line of ten are taken.
    fn notice_crowd(&mut self, bound: usize) {
        if self.waiting.len().saturating_mul(10) < bound.saturating_mul(9) {
            self.crowded_since = None;
        } else if self.crowded_since.is_none() {
            self.crowded_since = Some(Instant::now());
        }
    }
}

/// A place at the engine. Dropped, it goes to the next in line; sent to somebody who is gone, it is dropped there.
#[derive(Debug)]
pub(super) struct Place(Option<Arc<Line>>);

impl Place {
    fn of(line: &Arc<Line>) -> Self {
        Self(Some(line.clone()))
    }

    /// Leaves the place with whoever called.
    fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(line) = self.0.take() {
            line.pass_on();
        }
    }
}

/// A position in line. Dropped, it is free at once.
#[derive(Debug)]
pub(super) struct Ticket {
    line: Arc<Line>,
    number: u64,
    position: usize,
    granted: oneshot::Receiver<Place>,
}

impl Ticket {
    /// 1 for the next in line.
    pub(super) fn position(&self) -> usize {
        self.position
    }

    /// Waits for a place; `None` where the line was closed. Cancel safe.
    pub(super) async fn granted(&mut self) -> Option<Place> {
        (&mut self.granted).await.ok()
    }

    /// Leaves the line for this reason rather than because nobody waits any more.
    pub(super) fn give_up(self, reason: Reason) {
        // A place that was granted meanwhile goes on to the next as the ticket drops.
        self.line.leave(self.number);
        self.line.refuse(reason);
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.line.leave(self.number) {
            self.line.lock().counts.abandoned += 1;
        }
    }
}
