//! A member that answers nothing: noticing it, and ending what waits on it.

use std::{
    future::pending,
    pin::Pin,
    task::{Context, Poll},
};

use futures_core::Stream;
use synapse_core::{Body, Chunk, Error, ErrorKind};
use tokio::sync::watch;

/// Looks in a row left without an answer after which nobody waits for a first content any longer. As many missed looks
/// make a member one that is not asked.
const TO_TURN_AWAY: u32 = 2;
/// How many it takes to break a body under way: a first content can come from elsewhere, the rest of a reply cannot.
const TO_BREAK: u32 = 3;

/// How many looks in a row a member left without an answer. An answer of any kind, a refusal too, begins anew.
#[derive(Debug)]
pub(super) struct Silence(watch::Sender<u32>);

impl Silence {
    pub(super) fn new() -> Self {
        Self(watch::Sender::new(0))
    }

    pub(super) fn is_any(&self) -> bool {
        *self.0.borrow() > 0
    }

    /// Takes the end of a look into account: only one that ran out of time was met with silence.
    pub(super) fn note<T>(&self, look: &Result<T, Error>) {
        let silent = matches!(look, Err(error) if error.kind() == ErrorKind::Timeout);
        self.0.send_if_modified(|looks| {
            let next = if silent { looks.saturating_add(1) } else { 0 };
            std::mem::replace(looks, next) != next
        });
    }

    /// Waits until nobody should wait for a first content any longer, and says so. Cancel safe.
    pub(super) async fn turned_away(&self) -> Error {
        let mut looks = self.0.subscribe();
        if looks.wait_for(|looks| *looks >= TO_TURN_AWAY).await.is_err() {
            // The sender is gone, which `self` holds.
            pending::<()>().await;
        }
        Error::new(
            ErrorKind::Timeout,
            "miner_silent",
            "the miner stopped answering before its first content",
        )
    }

    /// `body`, until the member stays silent for too long.
    pub(super) fn end(&self, body: Body) -> Body {
        let looks = self.0.subscribe();
        body.wrap(|body| Heard {
            body,
            change: Box::pin(change(looks)),
            quiet: false,
        })
    }
}

/// A body under way with a member.
///
/// Ends where the member left [`TO_BREAK`] looks without an answer and the body itself was quiet since the look before:
/// a member that is too busy to say how it is, and still answers, is not cut off.
struct Heard {
    body: Body,
    /// The next change of how many looks were left without an answer.
    change: Pin<Box<dyn Future<Output = watch::Receiver<u32>> + Send>>,
    /// Nothing came since the last look without an answer.
    quiet: bool,
}

async fn change(mut looks: watch::Receiver<u32>) -> watch::Receiver<u32> {
    if looks.changed().await.is_err() {
        // The member is gone, and says no more.
        pending::<()>().await;
    }
    looks
}

impl Stream for Heard {
    type Item = Result<Chunk, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if let ready @ Poll::Ready(_) = Pin::new(&mut this.body).poll_next(cx) {
            this.quiet = false;
            return ready;
        }
        while let Poll::Ready(mut looks) = this.change.as_mut().poll(cx) {
            let unanswered = *looks.borrow_and_update();
            if this.quiet && unanswered >= TO_BREAK {
                return Poll::Ready(Some(Err(Error::broken(
                    "miner_silent",
                    "the miner stopped answering within its reply",
                ))));
            }
            this.quiet = unanswered > 0;
            this.change = Box::pin(change(looks));
        }
        Poll::Pending
    }
}
