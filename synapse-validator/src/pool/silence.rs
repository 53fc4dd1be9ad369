//! A member that answers nothing, or left: ending what waits on it.

use std::{
    future::pending,
    pin::Pin,
    task::{Context, Poll},
};

use futures_core::Stream;
use synapse_core::{Body, Chunk, Error, ErrorKind};
use tokio::sync::watch;

use super::wait::Wait;

/// Looks in a row left without an answer after which nobody waits for a first content any longer. As many missed looks
/// make a member one that is not asked.
const TO_TURN_AWAY: u32 = 2;
/// How many it takes to break a body under way: a first content can come from elsewhere, the rest of a reply cannot.
const TO_BREAK: u32 = 3;

/// Whether it is any use to wait on a member.
#[derive(Debug)]
pub(super) struct Silence(watch::Sender<Standing>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// So many looks in a row were left without an answer. An answer of any kind, a refusal too, begins anew.
    Unanswered(u32),
    /// It is no member any more, and its time to end what it had is over.
    Left,
}

impl Silence {
    pub(super) fn new() -> Self {
        Self(watch::Sender::new(Standing::Unanswered(0)))
    }

    pub(super) fn is_any(&self) -> bool {
        *self.0.borrow() != Standing::Unanswered(0)
    }

    /// Takes the end of a look into account: only one that ran out of time was met with silence.
    pub(super) fn note<T>(&self, look: &Result<T, Error>) {
        let silent = matches!(look, Err(error) if error.kind() == ErrorKind::Timeout);
        self.0.send_if_modified(|standing| {
            let Standing::Unanswered(looks) = standing else {
                return false;
            };
            let next = if silent { looks.saturating_add(1) } else { 0 };
            std::mem::replace(looks, next) != next
        });
    }

    /// It left, and nothing may wait on it any longer.
    pub(super) fn leave(&self) {
        self.0.send_replace(Standing::Left);
    }

    /// Waits until nobody should wait for a first content any longer, and says so. Cancel safe.
    pub(super) async fn turned_away(&self) -> Error {
        let mut standing = self.0.subscribe();
        let turns_away = |standing: &Standing| match standing {
            Standing::Unanswered(looks) => *looks >= TO_TURN_AWAY,
            Standing::Left => true,
        };
        let turned_away = standing.wait_for(turns_away).await.map(|standing| *standing);
        match turned_away {
            Ok(Standing::Unanswered(_)) => Error::new(
                ErrorKind::Timeout,
                "miner_silent",
                "the miner stopped answering before its first content",
            ),
            Ok(Standing::Left) => Error::unavailable(
                "miner_left",
                "the miner left, or moved, and its first content did not come in time",
            ),
            // The sender is gone, which `self` holds.
            Err(_) => pending().await,
        }
    }

    /// `body`, until the member stays silent for too long, or left. How long that is waited for goes into `wait`.
    pub(super) fn end(&self, body: Body, wait: Wait) -> Body {
        let standing = self.0.subscribe();
        body.wrap(|body| Heard {
            body,
            change: Box::pin(change(standing.clone())),
            standing,
            quiet: false,
            wait,
        })
    }
}

/// A body under way with a member.
///
/// Ends where the member left [`TO_BREAK`] looks without an answer and the body itself was quiet since the look before:
/// a member that is too busy to say how it is, and still answers, is not cut off. Where it left, the body ends even as it
/// moves.
struct Heard {
    body: Body,
    standing: watch::Receiver<Standing>,
    /// The next change of it.
    change: Pin<Box<dyn Future<Output = watch::Receiver<Standing>> + Send>>,
    /// Nothing came since the last look without an answer.
    quiet: bool,
    wait: Wait,
}

async fn change(mut standing: watch::Receiver<Standing>) -> watch::Receiver<Standing> {
    if standing.changed().await.is_err() {
        // Nobody looks after it any more.
        pending::<()>().await;
    }
    standing
}

impl Stream for Heard {
    type Item = Result<Chunk, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let polled = self.poll(cx);
        self.wait.note(&polled);
        polled
    }
}

impl Heard {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Chunk, Error>>> {
        let this = self;
        if *this.standing.borrow() == Standing::Left {
            return Poll::Ready(Some(Err(left())));
        }
        if let ready @ Poll::Ready(_) = Pin::new(&mut this.body).poll_next(cx) {
            this.quiet = false;
            return ready;
        }
        while let Poll::Ready(mut standing) = this.change.as_mut().poll(cx) {
            let now = *standing.borrow_and_update();
            match now {
                Standing::Left => return Poll::Ready(Some(Err(left()))),
                Standing::Unanswered(looks) if this.quiet && looks >= TO_BREAK => {
                    return Poll::Ready(Some(Err(Error::broken(
                        "miner_silent",
                        "the miner stopped answering within its reply",
                    ))));
                }
                Standing::Unanswered(looks) => this.quiet = looks > 0,
            }
            this.change = Box::pin(change(standing));
        }
        Poll::Pending
    }
}

fn left() -> Error {
    Error::broken(
        "miner_left",
        "the miner left, or moved, and its reply did not end in time",
    )
}
