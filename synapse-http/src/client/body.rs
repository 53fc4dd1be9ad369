//! The body of a reply, as it comes over the wire.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use futures_core::Stream;
use http::header;
use reqwest::Response;
use synapse_core::{Chunk, Dialect, Error, ErrorKind, Framing};
use tokio::time::{Instant, Sleep, sleep_until};

use super::{call::deadline_exceeded, control, drain::Drains, meter::Meter};
use crate::sse::{self, Framer, Rest};

/// What bounds a body.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) idle: Duration,
    pub(super) deadline: Option<Instant>,
    pub(super) events: sse::Limits,
    pub(super) whole: usize,
}

pub(super) type Source = Pin<Box<dyn Stream<Item = reqwest::Result<Bytes>> + Send>>;

/// Reads as chunks. Yields nothing after the last one, but reads on to the body's end, so that the connection can be used
/// again; dropped in between, it leaves that to a drain.
pub(super) struct Reply {
    /// `None` once it ended.
    source: Option<Source>,
    dialect: &'static dyn Dialect,
    framing: Framing,
    framer: Framer,
    whole: BytesMut,
    /// What the head said that is not for the client; comes before all else.
    controls: VecDeque<Chunk>,
    limits: Limits,
    silence: Pin<Box<Sleep>>,
    /// Whether the timer of silence runs: only while the source is waited for, never while the reader takes its time.
    waiting: bool,
    has_length: bool,
    complete: bool,
    meter: Arc<Meter>,
    drains: Drains,
}

impl Reply {
    pub(super) fn new(
        response: Response,
        dialect: &'static dyn Dialect,
        framing: Framing,
        limits: Limits,
        meter: Arc<Meter>,
        drains: Drains,
    ) -> Result<Self, Error> {
        let length = response
            .headers()
            .get(header::CONTENT_LENGTH)
            .and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
        if framing == Framing::Whole && length.is_some_and(|length| length > limits.whole) {
            return Err(too_large(limits.whole));
        }
        let controls = match framing {
            Framing::Whole => control::of(response.headers()),
            _ => VecDeque::new(),
        };
        Ok(Self {
            source: Some(Box::pin(response.bytes_stream())),
            dialect,
            framing,
            framer: Framer::new(framing, limits.events),
            whole: BytesMut::new(),
            controls,
            limits,
            silence: Box::pin(sleep_until(Instant::now())),
            waiting: false,
            has_length: length.is_some(),
            complete: false,
            meter,
            drains,
        })
    }

    /// The next read; `None` at the body's end, which it comes to only once.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Error>>> {
        let Some(source) = &mut self.source else {
            return Poll::Ready(None);
        };
        // A server that always has more to say would never let the timer be looked at.
        if self
            .limits
            .deadline
            .is_some_and(|deadline| deadline <= Instant::now())
        {
            return Poll::Ready(Some(Err(deadline_exceeded())));
        }
        match source.as_mut().poll_next(cx) {
            Poll::Ready(Some(Ok(read))) => {
                self.waiting = false;
                self.meter.received(read.len());
                return Poll::Ready(Some(Ok(read)));
            }
            Poll::Ready(Some(Err(error))) => {
                self.source = None;
                return Poll::Ready(Some(Err(self.cut(error))));
            }
            Poll::Ready(None) => {
                self.source = None;
                return Poll::Ready(None);
            }
            Poll::Pending => {}
        }
        if !self.waiting {
            let latest = Instant::now() + self.limits.idle;
            let until = self
                .limits
                .deadline
                .map_or(latest, |deadline| deadline.min(latest));
            self.silence.as_mut().reset(until);
            self.waiting = true;
        }
        ready!(self.silence.as_mut().poll(cx));
        Poll::Ready(Some(Err(self.silent())))
    }

    /// What one complete event is; `None` where it is nothing to hand on.
    fn chunk(&mut self, event: Bytes) -> Result<Option<Chunk>, Error> {
        if self.framing == Framing::Unframed {
            return Ok(Some(Chunk::event(event)));
        }
        let chunk = Chunk::read(event, self.dialect, self.framing)?;
        self.complete = chunk.as_ref().is_some_and(Chunk::is_last);
        Ok(chunk)
    }

    /// What the end of the body leaves.
    fn rest(&mut self) -> Result<Option<Chunk>, Error> {
        if self.framing == Framing::Whole {
            let whole = self.whole.split().freeze();
            return self.chunk(whole);
        }
        let truncated = || Error::broken("truncated_event", "the reply stopped within an event");
        match self.framer.finish() {
            Rest::Nothing => Ok(None),
            Rest::Complete(event) => self.chunk(event),
            Rest::Unterminated(event) => match self.chunk(event) {
                Ok(Some(chunk)) if chunk.is_last() => Ok(Some(chunk)),
                Err(error) if error.code() != "invalid_event" => Err(error),
                _ => Err(truncated()),
            },
        }
    }

    fn take(&mut self, read: Bytes) -> Result<(), Error> {
        if self.framing != Framing::Whole {
            self.framer.push(read);
            return Ok(());
        }
        if self.whole.len() + read.len() > self.limits.whole {
            return Err(too_large(self.limits.whole));
        }
        self.whole.extend_from_slice(&read);
        Ok(())
    }

    fn cut(&self, error: reqwest::Error) -> Error {
        let error = error.without_url();
        if self.has_length {
            Error::broken("length_mismatch", "the reply is shorter than its head says").with_source(error)
        } else {
            Error::broken("connection_cut", "the connection broke within the reply").with_source(error)
        }
    }

    fn silent(&self) -> Error {
        match self.limits.deadline {
            Some(deadline) if deadline <= Instant::now() => deadline_exceeded(),
            _ => Error::new(
                ErrorKind::Timeout,
                "idle_timeout",
                format!(
                    "the endpoint was silent for {:?} within its reply",
                    self.limits.idle
                ),
            ),
        }
    }
}

impl Stream for Reply {
    type Item = Result<Chunk, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if let Some(control) = this.controls.pop_front() {
            return Poll::Ready(Some(Ok(control)));
        }
        loop {
            if this.complete {
                // Whatever follows the last event is of no interest, but its end is.
                match ready!(this.poll_read(cx)) {
                    Some(Ok(_)) => continue,
                    _ => return Poll::Ready(None),
                }
            }
            let event = match this.framer.next() {
                Some(Ok(event)) => this.chunk(event),
                Some(Err(error)) => Err(error),
                None => match ready!(this.poll_read(cx)) {
                    Some(Ok(read)) => match this.take(read) {
                        Ok(()) => continue,
                        Err(error) => Err(error),
                    },
                    Some(Err(error)) => Err(error),
                    None => return Poll::Ready(this.rest().transpose()),
                },
            };
            match event {
                Ok(None) => {}
                Ok(Some(chunk)) => return Poll::Ready(Some(Ok(chunk))),
                Err(error) => {
                    this.source = None;
                    return Poll::Ready(Some(Err(error)));
                }
            }
        }
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        if let Some(source) = self.source.take().filter(|_| self.complete) {
            self.drains.start(source);
        }
    }
}

fn too_large(limit: usize) -> Error {
    Error::broken(
        "reply_too_large",
        format!("the reply is longer than {limit} bytes"),
    )
}
