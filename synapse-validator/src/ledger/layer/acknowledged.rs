//! A reply whose last event waits for its row.

use std::{
    future::Future,
    mem,
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll, ready},
};

use futures_core::Stream;
use synapse_core::{Body, Chunk, Error};

use crate::ledger::{Ledger, Position};

/// Where the closing row of a request is, once it is written, or why it could not be.
#[derive(Debug, Clone, Default)]
pub(super) struct Closed(Arc<OnceLock<Result<Position, Error>>>);

impl Closed {
    pub(super) fn set(&self, written: Result<Position, Error>) {
        // A request ends once, so nobody set it before.
        let _ = self.0.set(written);
    }

    fn get(&self) -> Option<Result<Position, Error>> {
        self.0.get().cloned()
    }
}

/// A reply whose end is handed on only where its closing row is written; where it also has to be on the disk, not before.
///
/// The row is written by a tap on the body in here, as that yields its last event.
pub(super) struct Acknowledged {
    body: Body,
    closed: Closed,
    /// Where the disk is waited for.
    waits: Option<Ledger>,
    state: State,
}

enum State {
    Open,
    /// The last event, or the end of a body without one, waits for the disk.
    Waiting(Option<Chunk>, Durable),
    Over,
}

type Durable = Pin<Box<dyn Future<Output = Result<(), Error>> + Send>>;

impl Acknowledged {
    pub(super) fn new(body: Body, closed: Closed, waits: Option<Ledger>) -> Self {
        Self {
            body,
            closed,
            waits,
            state: State::Open,
        }
    }

    /// The body handed out its end.
    fn end(&mut self, last: Option<Chunk>) {
        let durable: Durable = match (self.closed.get(), self.waits.take()) {
            (Some(Ok(position)), Some(ledger)) => Box::pin(async move { ledger.durable(position).await }),
            (Some(Err(error)), _) => Box::pin(async move { Err(error) }),
            // A body that broke has said so.
            (Some(Ok(_)) | None, _) => Box::pin(async { Ok(()) }),
        };
        self.state = State::Waiting(last, durable);
    }
}

impl Stream for Acknowledged {
    type Item = Result<Chunk, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        loop {
            match &mut this.state {
                State::Open => match ready!(Pin::new(&mut this.body).poll_next(cx)) {
                    Some(Ok(chunk)) if chunk.is_last() => this.end(Some(chunk)),
                    None => this.end(None),
                    Some(next) => return Poll::Ready(Some(next)),
                },
                State::Waiting(_, durable) => {
                    let stored = ready!(durable.as_mut().poll(cx));
                    let State::Waiting(last, _) = mem::replace(&mut this.state, State::Over) else {
                        unreachable!("the state was looked at above");
                    };
                    return Poll::Ready(match stored {
                        Ok(()) => last.map(Ok),
                        Err(error) => Some(Err(error)),
                    });
                }
                // The body lets its source run to its end.
                State::Over => return Pin::new(&mut this.body).poll_next(cx),
            }
        }
    }
}
