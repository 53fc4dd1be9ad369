//! A reply as a stream of chunks, and the one place where its ending is decided.

use std::{
    collections::VecDeque,
    fmt,
    future::poll_fn,
    mem,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures_core::Stream;

use super::{
    Chunk, Delta, Ending, Tap, Transform,
    guard::{Guarded, caught},
    transform::Transformed,
};
use crate::Error;

/// Chunks that a source may still hand out after the last one before it is let go.
const DRAINED_CHUNKS: usize = 16;
/// How much may be held back while [`Body::peek`] waits for content, in bytes.
const HELD_BYTES: usize = 256 * 1024;

/// A reply as a stream of [`Chunk`]s.
///
/// The body decides how it ends: [`Ending::Complete`] as it yields the [last](Chunk::is_last) chunk,
/// [`Ending::Broken`] where its source fails, panics or stops without one, [`Ending::Dropped`] where nobody reads on.
/// Each [`Tap`] is told once. It yields nothing after its ending; polled on, it lets the source run to its own end
/// where that is ready, so that a connection can be used again.
///
/// A body is `!Sync`: do not hold `&Output` across an `.await`.
pub struct Body {
    source: Source,
    taps: Vec<Guarded>,
    held: VecDeque<Chunk>,
    /// What those cost, as long as [`Body::peek`] waits.
    held_bytes: usize,
    framed: bool,
    /// The source said that it has no more; it is not asked again.
    exhausted: bool,
    state: State,
}

type Source = Pin<Box<dyn Stream<Item = Result<Chunk, Error>> + Send>>;

#[derive(Debug)]
enum State {
    Open,
    /// The last chunk is out; the source may still have an end of its own.
    Draining,
    Over(Ending),
}

impl Body {
    /// A body of events, the last of which [is last](Chunk::is_last).
    pub fn new(source: impl Stream<Item = Result<Chunk, Error>> + Send + 'static) -> Self {
        Self::from_source(Box::pin(source), true)
    }

    /// A body without framing, such as audio: complete when its source ends cleanly.
    pub fn unframed(source: impl Stream<Item = Result<Chunk, Error>> + Send + 'static) -> Self {
        Self::from_source(Box::pin(source), false)
    }

    /// A reply that is one chunk.
    pub fn whole(bytes: impl Into<Bytes>) -> Self {
        Self::once(Chunk::last(bytes))
    }

    /// A body of this one chunk, which is its last.
    #[must_use]
    pub fn once(chunk: Chunk) -> Self {
        Self::new(Ready(VecDeque::from([chunk.into_last()])))
    }

    /// A body of deltas that are all there already; the last one ends it.
    pub fn from_deltas(deltas: impl IntoIterator<Item = Delta>) -> Self {
        let mut chunks: VecDeque<Chunk> = deltas.into_iter().map(Chunk::delta).collect();
        if let Some(last) = chunks.pop_back() {
            chunks.push_back(last.into_last());
        }
        Self::new(Ready(chunks))
    }

    /// Lets `tap` watch from here on.
    pub fn tap(&mut self, tap: impl Tap) {
        let mut tap = Guarded::new(tap);
        match &self.state {
            State::Open => self.taps.push(tap),
            State::Draining => tap.on_end(&Ending::Complete),
            State::Over(ending) => tap.on_end(ending),
        }
    }

    /// This body as `transform` changes it.
    #[must_use]
    pub fn transform(self, transform: impl Transform) -> Self {
        self.wrap(|body| Transformed::new(body, transform))
    }

    /// This body as a stream of your own hands it on, framed as it was: for a layer that must wait between chunks.
    /// One that only watches wants [`tap`](Body::tap), one that changes chunks [`transform`](Body::transform).
    #[must_use]
    pub fn wrap<S>(self, stream: impl FnOnce(Self) -> S) -> Self
    where
        S: Stream<Item = Result<Chunk, Error>> + Send + 'static,
    {
        let framed = self.framed;
        Self::from_source(Box::pin(stream(self)), framed)
    }

    /// Waits for the first content, tool call or end, and holds what came before it (a role, a control chunk), to be
    /// yielded with it. Nothing is taken out: a failure that shows before any content is this call's error.
    ///
    /// Cancel safe: what arrived stays held.
    ///
    /// # Errors
    /// What the source failed with, that it ended before any content, or `no_content` where it goes on without any
    /// for 256 KiB.
    pub async fn peek(&mut self) -> Result<&Chunk, Error> {
        if !matches!(self.state, State::Open) {
            return Err(Self::truncated());
        }
        while !self.held.back().is_some_and(Chunk::has_content) {
            match poll_fn(|cx| self.poll_source(cx)).await {
                Some(Ok(chunk)) => {
                    self.held_bytes += chunk.weight();
                    let content = chunk.has_content();
                    self.held.push_back(chunk);
                    if !content && self.held_bytes > HELD_BYTES {
                        let error = Error::broken(
                            "no_content",
                            format!("the reply held {HELD_BYTES} bytes of events and no content"),
                        );
                        self.end(Ending::Broken(error.clone()));
                        return Err(error);
                    }
                }
                Some(Err(error)) => {
                    self.end(Ending::Broken(error.clone()));
                    return Err(error);
                }
                None if !self.framed && !self.held.is_empty() => break,
                None => {
                    let error = Self::truncated();
                    self.end(Ending::Broken(error.clone()));
                    return Err(error);
                }
            }
        }
        Ok(self.held.back().expect("the loop above left a chunk"))
    }

    /// A chunk that the source hands out although its last one is out: what the conformance suite looks for.
    #[cfg(feature = "testkit")]
    pub(crate) fn poll_past_last(&mut self, cx: &mut Context<'_>) -> Option<Chunk> {
        if !matches!(self.state, State::Draining) {
            return None;
        }
        match self.poll_source(cx) {
            Poll::Ready(Some(Ok(chunk))) => Some(chunk),
            _ => None,
        }
    }

    fn from_source(source: Source, framed: bool) -> Self {
        Self {
            source,
            taps: Vec::new(),
            held: VecDeque::new(),
            held_bytes: 0,
            framed,
            exhausted: false,
            state: State::Open,
        }
    }

    fn poll_source(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Chunk, Error>>> {
        if self.exhausted {
            return Poll::Ready(None);
        }
        let source = &mut self.source;
        let next = caught(|| source.as_mut().poll_next(cx));
        self.exhausted = matches!(next, Ok(Poll::Ready(None)) | Err(_));
        next.unwrap_or_else(|panic| Poll::Ready(Some(Err(panic))))
    }

    /// What is left of a source after the last chunk: taken where it is ready, never waited for.
    fn drain(&mut self, cx: &mut Context<'_>) {
        for _ in 0..DRAINED_CHUNKS {
            if !matches!(self.poll_source(cx), Poll::Ready(Some(Ok(_)))) {
                break;
            }
        }
    }

    fn truncated() -> Error {
        Error::broken("truncated_reply", "the reply stopped before its last event")
    }

    /// Lets go of the source first, where it is no longer wanted: whoever a tap makes room for finds the room.
    fn end(&mut self, ending: Ending) {
        if !matches!(self.state, State::Open) {
            return;
        }
        if !matches!(ending, Ending::Complete) {
            self.let_go();
        }
        for tap in &mut self.taps {
            tap.on_end(&ending);
        }
        self.state = match ending {
            Ending::Complete if !self.exhausted => State::Draining,
            ending => State::Over(ending),
        };
    }

    fn let_go(&mut self) {
        self.held.clear();
        self.exhausted = true;
        let source = mem::replace(&mut self.source, Box::pin(Nothing));
        if caught(|| drop(source)).is_err() {
            tracing::error!("the source of a body panicked as it was let go");
        }
    }
}

impl Stream for Body {
    type Item = Result<Chunk, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        match this.state {
            State::Open => {}
            State::Draining => {
                this.drain(cx);
                this.state = State::Over(Ending::Complete);
                return Poll::Ready(None);
            }
            State::Over(_) => return Poll::Ready(None),
        }
        let next = match this.held.pop_front() {
            Some(chunk) => Some(Ok(chunk)),
            None => {
                this.held_bytes = 0;
                ready!(this.poll_source(cx))
            }
        };
        Poll::Ready(match next {
            Some(Ok(chunk)) => {
                for tap in &mut this.taps {
                    tap.on_chunk(&chunk);
                }
                if chunk.is_last() {
                    this.end(Ending::Complete);
                }
                Some(Ok(chunk))
            }
            Some(Err(error)) => {
                this.end(Ending::Broken(error.clone()));
                Some(Err(error))
            }
            None if !this.framed => {
                this.end(Ending::Complete);
                None
            }
            None => {
                let error = Self::truncated();
                this.end(Ending::Broken(error.clone()));
                Some(Err(error))
            }
        })
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        self.end(Ending::Dropped);
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body")
            .field("state", &self.state)
            .field("held", &self.held.len())
            .field("taps", &self.taps.len())
            .finish_non_exhaustive()
    }
}

/// What is left of a source that was let go.
struct Nothing;

impl Stream for Nothing {
    type Item = Result<Chunk, Error>;

    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(None)
    }
}

/// Chunks that are all there already.
struct Ready(VecDeque<Chunk>);

impl Stream for Ready {
    type Item = Result<Chunk, Error>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(self.0.pop_front().map(Ok))
    }
}
