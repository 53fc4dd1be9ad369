//! Changing a body.

use std::{
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures_core::Stream;

use super::{Body, Chunk};
use crate::Error;

/// Withholds, strips or adds chunks on their way to the client.
///
/// Taps set before it see what came in, taps set after it what goes out. A transform that swallows the last chunk
/// makes the body broken.
pub trait Transform: Send + 'static {
    /// Takes a chunk and hands on what `out` is to hold: nothing, it, or more.
    ///
    /// # Errors
    /// Ends the body [`Broken`](super::Ending::Broken) with that error.
    fn on_chunk(&mut self, chunk: Chunk, out: &mut VecDeque<Chunk>) -> Result<(), Error>;
}

pub(super) struct Transformed<T> {
    inner: Body,
    transform: T,
    out: VecDeque<Chunk>,
}

impl<T> Transformed<T> {
    pub(super) fn new(inner: Body, transform: T) -> Self {
        Self {
            inner,
            transform,
            out: VecDeque::new(),
        }
    }
}

impl<T> Unpin for Transformed<T> {}

impl<T: Transform> Stream for Transformed<T> {
    type Item = Result<Chunk, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        loop {
            if let Some(chunk) = this.out.pop_front() {
                return Poll::Ready(Some(Ok(chunk)));
            }
            match ready!(Pin::new(&mut this.inner).poll_next(cx)) {
                Some(Ok(chunk)) => {
                    if let Err(error) = this.transform.on_chunk(chunk, &mut this.out) {
                        return Poll::Ready(Some(Err(error)));
                    }
                }
                end => return Poll::Ready(end),
            }
        }
    }
}
