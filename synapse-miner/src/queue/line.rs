//! The line itself: places, who waits for one, and how a place goes from hand to hand.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::oneshot, time::Instant};

use super::{
    asker::{Asker, Claim},
    pace::Pace,
    refusal::Reason,
    turns::{Account, Entered, Turn, Turns},
};

/// Places and those who wait for them. A free place and somebody in line never exist together.
#[derive(Debug)]
pub(super) struct Line {
    bound: usize,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    turns: Turns<Grant>,
    /// What was set, whether by somebody who sets it as things go, and what somebody outside allows of it.
    most: usize,
    steered: bool,
    allowed: usize,
    closed: bool,
    crowded_since: Option<Instant>,
    pace: Pace,
    counts: Counts,
}

/// How somebody in line learns that he has a place, or why he gets none.
type Grant = oneshot::Sender<Result<Place, Reason>>;

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
#[derive(Debug, Clone)]
pub(super) struct Snapshot {
    pub(super) places: usize,
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
    pub(super) fn new(places: usize, bound: usize, most_callers: usize) -> Self {
        Self {
            bound,
            state: Mutex::new(State {
                turns: Turns::new(places, bound, most_callers),
                most: places,
                steered: false,
                allowed: usize::MAX,
                closed: false,
                crowded_since: None,
                pace: Pace::default(),
                counts: Counts::default(),
            }),
        }
    }

    /// A place, or a position in line.
    pub(super) fn enter(self: &Arc<Self>, claim: &Claim, deadline: Option<Instant>) -> Result<Entry, Reason> {
        let (grant, granted) = oneshot::channel();
        let mut state = self.lock();
        if state.closed {
            return Err(state.refuse(Reason::Closed));
        }
        if state.hopeless(claim, deadline) {
            return Err(state.refuse(Reason::Unreachable));
        }
        match state.turns.enter(claim, grant) {
            Entered::Started(turn) => Ok(Entry::Started(Place::of(self, turn))),
            Entered::Full => Err(state.refuse(Reason::Full)),
            Entered::Waits {
                asker,
                number,
                position,
                displaced,
            } => {
                state.notice_crowd(self.bound);
                if displaced.is_some() {
                    state.refuse(Reason::Displaced);
                }
                let expected = state.wait_behind(position - 1);
                drop(state);
                if let Some(displaced) = displaced {
                    // Nobody to tell where he is gone by himself; the position is free either way.
                    let _ = displaced.send(Err(Reason::Displaced));
                }
                Ok(Entry::Waits(Ticket {
                    line: self.clone(),
                    asker,
                    number,
                    position,
                    expected,
                    granted,
                }))
            }
        }
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
    pub(super) fn observe_hold(&self, held: Duration, cost: u64) {
        self.lock().pace.observe(held, cost);
    }

    /// How long this one would wait who came now, as far as the requests before tell; zero before there were any.
    pub(super) fn expected_wait(&self, claim: &Claim) -> Duration {
        self.lock().expected_wait(claim)
    }

    /// What a request of this size takes, as far as the requests before tell.
    pub(super) fn needs(&self, cost: u64) -> Option<Duration> {
        self.lock().pace.needs(cost)
    }

    /// So many places at most, from somebody who sets them as things go.
    pub(super) fn steer(self: &Arc<Self>, places: usize) {
        {
            let mut state = self.lock();
            (state.most, state.steered) = (places.max(1), true);
        }
        self.resize();
    }

    /// As many places as the module claims, unless somebody sets them as things go.
    pub(super) fn adopt(self: &Arc<Self>, claimed: usize) {
        {
            let mut state = self.lock();
            if state.steered || state.most == claimed.max(1) {
                return;
            }
            state.most = claimed.max(1);
        }
        self.resize();
    }

    /// Whether somebody sets the places as things go.
    pub(super) fn is_steered(&self) -> bool {
        self.lock().steered
    }

    /// So many of them may be used for now; one always.
    pub(super) fn set_allowed(self: &Arc<Self>, places: usize) {
        self.lock().allowed = places.max(1);
        self.resize();
    }

    fn resize(self: &Arc<Self>) {
        {
            let mut state = self.lock();
            let places = state.most.min(state.allowed);
            state.turns.set_places(places);
        }
        self.hand_out();
    }

    /// Takes nobody in any more, and sends away who waits.
    pub(super) fn close(&self) {
        let sent_away = {
            let mut state = self.lock();
            state.closed = true;
            state.crowded_since = None;
            let waiting = state.turns.clear();
            state.counts.refused[Reason::Closed as usize] += waiting.len() as u64;
            waiting
        };
        // Wakes the waiters, so not under the lock.
        for grant in sent_away {
            let _ = grant.send(Err(Reason::Closed));
        }
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        let state = self.lock();
        Snapshot {
            places: state.turns.places(),
            waiting: state.turns.waiting(),
            in_flight: state.turns.busy(),
            bound: self.bound,
            crowded_since: state.crowded_since,
            counts: state.counts,
        }
    }

    pub(super) fn accounts(&self) -> Vec<Account> {
        self.lock().turns.accounts()
    }

    /// Takes back a place, and hands it to whose turn it is.
    fn release(self: &Arc<Self>, turn: Turn, used: u64) {
        self.lock().turns.finish(turn, used);
        self.hand_out();
    }

    /// Hands what is free to those whose turn it is and who are still there.
    fn hand_out(self: &Arc<Self>) {
        loop {
            let (turn, grant) = {
                let mut state = self.lock();
                let Some(next) = state.turns.next() else { return };
                state.notice_crowd(self.bound);
                next
            };
            // Gone between the two: the next one's turn.
            if let Err(Ok(place)) = grant.send(Ok(Place::of(self, turn)))
                && let Some(turn) = place.into_turn()
            {
                self.lock().turns.finish(turn, 0);
            }
        }
    }

    /// Whether the one with this number was still in line.
    fn leave(&self, asker: &Asker, number: u64) -> bool {
        let mut state = self.lock();
        let left = state.turns.leave(asker, number);
        state.notice_crowd(self.bound);
        left
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

    fn expected_wait(&self, claim: &Claim) -> Duration {
        self.wait_behind(self.turns.ahead_of(claim))
    }

    fn wait_behind(&self, others: usize) -> Duration {
        self.pace.rounds(others / self.turns.places() + 1)
    }

    /// Whether this one would have to wait, and could not be answered in time: the wait that is expected and twice what
    /// the request takes itself are more than he has.
    fn hopeless(&self, claim: &Claim, deadline: Option<Instant>) -> bool {
        let waits = self.turns.waiting() > 0 || self.turns.busy() >= self.turns.places();
        let (Some(deadline), Some(needs), true) = (deadline, self.pace.needs(claim.cost), waits) else {
            return false;
        };
        let needed = self.expected_wait(claim).saturating_add(needs.saturating_mul(2));
        needed > deadline.saturating_duration_since(Instant::now())
    }

    /// Nine places in line of ten are taken.
    fn notice_crowd(&mut self, bound: usize) {
        if self.turns.waiting().saturating_mul(10) < bound.saturating_mul(9) {
            self.crowded_since = None;
        } else if self.crowded_since.is_none() {
            self.crowded_since = Some(Instant::now());
        }
    }
}

/// A place at the engine. Dropped, it goes to the next in line; sent to somebody who is gone, it is dropped there.
#[derive(Debug)]
pub(super) struct Place {
    held: Option<(Arc<Line>, Turn)>,
    used: u64,
}

impl Place {
    fn of(line: &Arc<Line>, turn: Turn) -> Self {
        Self {
            held: Some((line.clone(), turn)),
            used: 0,
        }
    }

    /// Whoever has it took so many tokens: what his caller is charged as it comes back.
    pub(super) fn used(&mut self, tokens: u64) {
        self.used = tokens;
    }

    /// Leaves the place with whoever called.
    fn into_turn(mut self) -> Option<Turn> {
        self.held.take().map(|(_, turn)| turn)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some((line, turn)) = self.held.take() {
            line.release(turn, self.used);
        }
    }
}

/// A position in line. Dropped, it is free at once.
#[derive(Debug)]
pub(super) struct Ticket {
    line: Arc<Line>,
    asker: Asker,
    number: u64,
    position: usize,
    expected: Duration,
    granted: oneshot::Receiver<Result<Place, Reason>>,
}

impl Ticket {
    /// 1 for the next in line.
    pub(super) fn position(&self) -> usize {
        self.position
    }

    /// How long the wait was expected to be as he came.
    pub(super) fn expected(&self) -> Duration {
        self.expected
    }

    /// Waits for a place, or for why there is none. Cancel safe.
    pub(super) async fn granted(&mut self) -> Result<Place, Reason> {
        (&mut self.granted).await.unwrap_or(Err(Reason::Closed))
    }

    /// Leaves the line for this reason rather than because nobody waits any more.
    pub(super) fn give_up(self, reason: Reason) {
        // A place that was granted meanwhile goes on to the next as the ticket drops.
        self.line.leave(&self.asker, self.number);
        self.line.refuse(reason);
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.line.leave(&self.asker, self.number) {
            self.line.lock().counts.abandoned += 1;
        }
    }
}
