//! What a connection is doing, and when that has taken too long.

use std::{
    fmt,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard},
    task::{Context, Poll},
};

use tokio::time::{Duration, Instant, Sleep, sleep_until};

use super::{limits::Limits, message::MessageScan};

/// A blocked peer must take this many bytes within the write timeout, so that a trickle of acknowledgements is no progress.
const WRITE_PROGRESS: usize = 4 * 1024;
/// As good as never, for a timer that is not needed yet.
const FAR: Duration = Duration::from_secs(24 * 3600);

/// What one connection is doing: told by its socket, its service and its bodies, asked by its [`Watchdog`].
#[derive(Debug)]
pub(super) struct Activity {
    header: Duration,
    idle: Duration,
    write: Duration,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    since: Instant,
    stalled: Option<Stall>,
    scan: MessageScan,
    refused: bool,
    uploading: bool,
    until_close: bool,
    broken: bool,
    given_up: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Between requests.
    Idle,
    /// A request's head is on its way.
    Head,
    /// A request is being answered.
    Busy,
}

#[derive(Debug)]
struct Stall {
    since: Instant,
    written: usize,
}

/// Which time ran out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expired {
    Idle,
    Head,
    Write,
}

impl fmt::Display for Expired {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Idle => "it was idle for too long",
            Self::Head => "its request's head took too long",
            Self::Write => "it did not read its reply",
        })
    }
}

impl Activity {
    /// A connection that was just accepted: its first head must come within the header timeout.
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            header: limits.header,
            idle: limits.idle,
            write: limits.write,
            state: Mutex::new(State {
                phase: Phase::Head,
                since: Instant::now(),
                stalled: None,
                scan: MessageScan::default(),
                refused: false,
                uploading: false,
                until_close: false,
                broken: false,
                given_up: false,
            }),
        }
    }

    /// Bytes came in; `false` where a head among them is one that nobody should accept.
    pub(super) fn heard(&self, bytes: &[u8]) -> bool {
        let mut state = self.state();
        if state.phase == Phase::Idle {
            state.phase = Phase::Head;
            state.since = Instant::now();
        }
        state.refused |= !state.scan.accepts(bytes);
        !state.refused
    }

    /// Bytes went out.
    pub(super) fn wrote(&self, bytes: usize) {
        let mut state = self.state();
        if let Some(stall) = &mut state.stalled {
            stall.written += bytes;
            if stall.written >= WRITE_PROGRESS {
                state.stalled = None;
            }
        }
    }

    /// The peer takes nothing at the moment.
    pub(super) fn blocked(&self) {
        self.state().stalled.get_or_insert_with(|| Stall {
            since: Instant::now(),
            written: 0,
        });
    }

    /// Everything that was to go out went out.
    pub(super) fn flushed(&self) {
        self.state().stalled = None;
    }

    /// A head is complete. `body` where one follows it; `until_close` where nothing but the connection's end can mark
    /// the end of its reply.
    pub(super) fn request_began(&self, body: bool, until_close: bool) {
        let mut state = self.state();
        state.phase = Phase::Busy;
        state.uploading = body;
        state.until_close = until_close;
    }

    /// The request's body came in whole.
    pub(super) fn request_ended(&self) {
        self.state().uploading = false;
    }

    /// The reply's body is over, or given up; what comes next is another head.
    pub(super) fn response_ended(&self, whole: bool) {
        let mut state = self.state();
        state.phase = Phase::Idle;
        state.since = Instant::now();
        state.broken |= !whole;
    }

    /// Whether the request's body is still to come, or to be read.
    pub(super) fn is_uploading(&self) -> bool {
        self.state().uploading
    }

    /// Whether a head was refused before hyper saw it, and no other reply is under way.
    pub(super) fn was_refused(&self) -> bool {
        let state = self.state();
        state.refused && state.phase != Phase::Busy
    }

    /// Whether its peer would take a reply for complete that is not, once the connection closes.
    pub(super) fn would_look_complete(&self) -> bool {
        let state = self.state();
        state.until_close && (state.broken || state.phase == Phase::Busy)
    }

    /// The connection took too long: nothing that waits for its peer is to arrive.
    pub(super) fn give_up(&self) {
        self.state().given_up = true;
    }

    /// Whether its end must be a reset rather than an orderly close.
    pub(super) fn must_be_reset(&self) -> bool {
        let given_up = self.state().given_up;
        given_up || self.would_look_complete()
    }

    fn deadline(&self) -> Option<(Instant, Expired)> {
        let state = self.state();
        let phase = match state.phase {
            Phase::Idle => Some((state.since + self.idle, Expired::Idle)),
            Phase::Head => Some((state.since + self.header, Expired::Head)),
            Phase::Busy => None,
        };
        let write = state
            .stalled
            .as_ref()
            .map(|stall| (stall.since + self.write, Expired::Write));
        phase.into_iter().chain(write).min_by_key(|(at, _)| *at)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state
            .lock()
            .expect("nothing panics while it holds a connection's state")
    }
}

/// Resolves once a connection has taken too long. Poll it after the connection, on the same task.
#[derive(Debug)]
pub(super) struct Watchdog {
    activity: Arc<Activity>,
    sleep: Pin<Box<Sleep>>,
}

impl Watchdog {
    pub(super) fn new(activity: Arc<Activity>) -> Self {
        Self {
            activity,
            sleep: Box::pin(sleep_until(Instant::now() + FAR)),
        }
    }
}

impl Future for Watchdog {
    type Output = Expired;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Expired> {
        loop {
            let due = self.activity.deadline();
            // The timer only moves to come earlier, or once it fired too early: not on every byte.
            if let Some((at, _)) = due
                && at < self.sleep.deadline()
            {
                self.sleep.as_mut().reset(at);
            }
            if self.sleep.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            match due {
                Some((at, expired)) if at <= Instant::now() => return Poll::Ready(expired),
                Some((at, _)) => self.sleep.as_mut().reset(at),
                None => self.sleep.as_mut().reset(Instant::now() + FAR),
            }
        }
    }
}
