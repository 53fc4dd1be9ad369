//! The circuit: closed, open, or tried by one request at a time. It has no clock of its own and waits for nobody.

use tokio::time::{Duration, Instant};

use super::window::Window;

/// When it opens, and for how long.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms {
    /// So many failures in a row open it.
    pub(super) in_a_row: u32,
    /// So does this part of failures, from 0 to 1, among all endings of the window, where it has so many.
    pub(super) ratio: f64,
    pub(super) at_least: usize,
    pub(super) window: Duration,
    /// How long it stays open the first time; twice as long each time after, up to the longest.
    pub(super) first: Duration,
    pub(super) longest: Duration,
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            in_a_row: 5,
            ratio: 0.5,
            at_least: 20,
            window: Duration::from_secs(30),
            first: Duration::from_secs(1),
            longest: Duration::from_secs(5),
        }
    }
}

/// Lets requests through, or not, by how those before ended.
#[derive(Debug)]
pub(super) struct Circuit {
    terms: Terms,
    state: State,
    since: Instant,
    /// When somebody last wanted to be let through.
    asked: Instant,
    /// Endings of requests from before the last change of state say nothing any more.
    generation: u64,
    failures_in_a_row: u32,
    openings_in_a_row: u32,
    window: Window,
    last: Option<String>,
    counts: Counts,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Closed,
    /// Closed again since a try began well: one failure opens it.
    OnTrial,
    Open {
        until: Instant,
    },
    /// Whoever comes next tries, if nobody does.
    HalfOpen {
        tried: bool,
    },
}

/// What happened so far.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counts {
    pub(super) opened: u64,
    pub(super) failures: u64,
    pub(super) refused: u64,
}

/// One request that was let through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Passage {
    generation: u64,
}

/// One request that was not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Closure {
    /// When the next try is due; zero where one is under way.
    pub(super) wait: Duration,
    /// The code of the failure that opened it.
    pub(super) last: String,
}

/// How a request that was let through ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    Complete,
    /// The code of the error.
    Failed(String),
    /// A refusal, the caller's own fault, or a caller who left.
    Nothing,
}

impl Circuit {
    pub(super) fn new(terms: Terms, now: Instant) -> Self {
        Self {
            terms,
            state: State::Closed,
            since: now,
            asked: now,
            generation: 0,
            failures_in_a_row: 0,
            openings_in_a_row: 0,
            window: Window::default(),
            last: None,
            counts: Counts::default(),
        }
    }

    /// As it is at `now`: one that was open long enough may be tried.
    pub(super) fn state(&self, now: Instant) -> State {
        match self.state {
            State::Open { until } if until <= now => State::HalfOpen { tried: false },
            state => state,
        }
    }

    pub(super) fn since(&self) -> Instant {
        self.since
    }

    pub(super) fn counts(&self) -> Counts {
        self.counts
    }

    /// The code of the latest failure.
    pub(super) fn last(&self) -> &str {
        self.last.as_deref().unwrap_or("none")
    }

    pub(super) fn pass(&mut self, now: Instant) -> Result<Passage, Closure> {
        let quiet = now.duration_since(std::mem::replace(&mut self.asked, now));
        match self.state(now) {
            State::Closed | State::OnTrial => {}
            State::HalfOpen { tried: false } => {
                // How it was while nobody asked, nobody knows: what fails now has not failed since then.
                if quiet > self.terms.longest {
                    self.since = now;
                }
                self.state = State::HalfOpen { tried: true };
            }
            State::HalfOpen { tried: true } => return Err(self.refuse(Duration::ZERO)),
            State::Open { until } => return Err(self.refuse(until.duration_since(now))),
        }
        Ok(Passage {
            generation: self.generation,
        })
    }

    fn refuse(&mut self, wait: Duration) -> Closure {
        self.counts.refused += 1;
        Closure {
            wait,
            last: self.last().to_owned(),
        }
    }

    /// A reply began: where it was a try, others may follow.
    pub(super) fn began(&mut self, passage: Passage, now: Instant) {
        if passage.generation == self.generation && self.state == (State::HalfOpen { tried: true }) {
            self.change(State::OnTrial, now);
            self.failures_in_a_row = 0;
            self.window.clear();
        }
    }

    /// Ends a request; whether the circuit opened by it.
    pub(super) fn end(&mut self, passage: Passage, verdict: Verdict, now: Instant) -> bool {
        if let Verdict::Failed(_) = verdict {
            self.counts.failures += 1;
        }
        if passage.generation != self.generation {
            return false;
        }
        match verdict {
            Verdict::Nothing => {
                if self.state == (State::HalfOpen { tried: true }) {
                    self.state = State::HalfOpen { tried: false };
                }
                false
            }
            Verdict::Complete => {
                self.failures_in_a_row = 0;
                self.openings_in_a_row = 0;
                self.window.push(now, false, self.terms.window);
                if self.state != State::Closed {
                    self.change(State::Closed, now);
                }
                false
            }
            Verdict::Failed(code) => {
                self.last = Some(code);
                self.failures_in_a_row += 1;
                self.window.push(now, true, self.terms.window);
                let enough = self.state != State::Closed
                    || self.failures_in_a_row >= self.terms.in_a_row
                    || self.mostly_failures();
                if enough {
                    self.open(now);
                }
                enough
            }
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "a few hundred requests")]
    fn mostly_failures(&self) -> bool {
        let (all, failed) = (self.window.len(), self.window.failures());
        all >= self.terms.at_least && failed as f64 >= self.terms.ratio * all as f64
    }

    fn open(&mut self, now: Instant) {
        let doubled = 2_u32.saturating_pow(self.openings_in_a_row.min(16));
        let wait = self.terms.first.saturating_mul(doubled).min(self.terms.longest);
        self.openings_in_a_row = self.openings_in_a_row.saturating_add(1);
        self.counts.opened += 1;
        self.generation += 1;
        self.failures_in_a_row = 0;
        self.window.clear();
        // Health says since when it has not been well, not since which try.
        let since = if self.state == State::Closed {
            now
        } else {
            self.since
        };
        self.change(State::Open { until: now + wait }, since);
    }

    fn change(&mut self, state: State, since: Instant) {
        self.state = state;
        self.since = since;
    }
}
