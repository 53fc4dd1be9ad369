//! A reply as it is made, event by event.

use std::{
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use axum::body::Body as HttpBody;
use bytes::Bytes;
use futures_core::Stream;
use http_body::Frame;
use synapse_core::{Body, Chunk, Error};
use tokio::time::{Instant, Sleep, sleep};

use super::api::Options;
use crate::dialect::{Form, Heard, ReplyShape, StreamWriter};

/// Events as they come, and what a module in Rust says as events.
pub(super) fn events(body: Body, shape: ReplyShape, options: &Options) -> HttpBody {
    let way = Way::Events(Writing::new(shape));
    HttpBody::new(Reply::new(body, way, options))
}

/// A whole reply, or one in another dialect, as events.
pub(super) fn rewritten(body: Body, shape: ReplyShape, options: &Options) -> HttpBody {
    let way = Way::Rewritten(Writing::new(shape));
    HttpBody::new(Reply::new(body, way, options))
}

/// Bytes of which nothing is known.
pub(super) fn bytes(body: Body, options: &Options) -> HttpBody {
    HttpBody::new(Reply::new(body, Way::Bytes, options))
}

/// What becomes of a chunk.
enum Way {
    Events(Writing),
    Rewritten(Writing),
    Bytes,
}

/// How what has to be written is written.
struct Writing {
    form: Form,
    heard: Heard,
    /// Used up by the end.
    writer: Option<StreamWriter>,
    /// Whether any chunk said something that could be read.
    was_read: bool,
}

impl Writing {
    fn new(shape: ReplyShape) -> Self {
        Self {
            form: shape.form(),
            heard: Heard::new(shape.form()),
            writer: Some(shape.stream()),
            was_read: false,
        }
    }

    /// Writes what `chunk` says.
    fn take(&mut self, chunk: &Chunk, out: &mut VecDeque<Bytes>) -> Result<(), Error> {
        let deltas = self.heard.deltas(chunk)?;
        self.was_read |= !deltas.is_empty();
        let unread = chunk.wire().is_some() && deltas.is_empty();
        if unread && (chunk.dialect().is_none() || (chunk.is_last() && !self.was_read)) {
            return Err(Error::broken(
                "unreadable_reply",
                "a stream was asked for in another form than the reply has, and nobody here can read it",
            ));
        }
        if let Some(writer) = &mut self.writer {
            let events = deltas.iter().map(|delta| writer.event(delta));
            out.extend(events.filter(|event| !event.is_empty()));
        }
        if chunk.is_last()
            && let Some(writer) = self.writer.take()
        {
            out.push_back(writer.finish()?);
        }
        Ok(())
    }
}

impl Way {
    /// The dialect that is written; `None` where bytes pass of which nothing is known.
    fn form(&self) -> Option<Form> {
        match self {
            Self::Events(writing) | Self::Rewritten(writing) => Some(writing.form),
            Self::Bytes => None,
        }
    }
}

/// An output's body as an HTTP body.
struct Reply {
    state: State,
    way: Way,
    out: VecDeque<Bytes>,
    controls: bool,
    silence: Option<Silence>,
}

enum State {
    Open(Body),
    /// It broke off; `told` once hyper had a turn to write the event that says so.
    Failed {
        error: Error,
        told: bool,
    },
    Over,
}

impl Reply {
    fn new(body: Body, way: Way, options: &Options) -> Self {
        let silence = way.form().map(|_| Silence::new(options.keep_alive));
        Self {
            state: State::Open(body),
            way,
            out: VecDeque::new(),
            controls: options.controls,
            silence,
        }
    }

    fn take(&mut self, chunk: &Chunk) -> Result<(), Error> {
        if let Some((name, payload)) = chunk.as_control() {
            if let Some(form) = self.way.form().filter(|_| self.controls) {
                self.out.push_back(form.control_event(name, payload));
            }
        } else if let (Way::Events(..) | Way::Bytes, Some(bytes)) = (&self.way, chunk.wire()) {
            self.out.push_back(bytes.clone());
            return Ok(());
        }
        match &mut self.way {
            Way::Events(writing) | Way::Rewritten(writing) => writing.take(chunk, &mut self.out),
            Way::Bytes => Ok(()),
        }
    }

    /// Says what failed where a client looks for it, in the stream.
    fn fail(&mut self, error: Error) {
        // Not its message: a miner may have put anything into that.
        tracing::debug!(code = error.code(), kind = ?error.kind(), "a reply broke off");
        let event = self.way.form().map(|form| form.error_event(&error));
        let told = event.is_none();
        self.out.extend(event);
        self.state = State::Failed { error, told };
    }
}

impl http_body::Body for Reply {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = &mut *self;
        loop {
            if let Some(bytes) = this.out.pop_front() {
                return Poll::Ready(Some(Ok(Frame::data(bytes))));
            }
            let next = match &mut this.state {
                State::Open(body) => next(body, cx),
                State::Failed {
                    told: told @ false, ..
                } => {
                    // An error drops what is not written yet: first the event, then the end.
                    *told = true;
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                State::Failed { error, .. } => {
                    let error = error.clone();
                    this.state = State::Over;
                    return Poll::Ready(Some(Err(error)));
                }
                State::Over => return Poll::Ready(None),
            };
            match next {
                Poll::Ready(Some(Ok(chunk))) => {
                    if chunk.is_last() {
                        this.state = State::Over;
                    }
                    if let Some(silence) = &mut this.silence {
                        silence.broken();
                    }
                    if let Err(error) = this.take(&chunk) {
                        this.fail(error);
                    }
                }
                Poll::Ready(Some(Err(error))) => this.fail(error),
                Poll::Ready(None) => this.state = State::Over,
                Poll::Pending => {
                    let silence = this.silence.as_mut().map(|silence| silence.poll(cx));
                    if silence != Some(Poll::Ready(())) {
                        return Poll::Pending;
                    }
                    this.out.extend(this.way.form().map(Form::keep_alive));
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.out.is_empty() && matches!(self.state, State::Over)
    }
}

/// The next chunk. After the last one the source is polled on, so that it comes to its own end and its connection can be
/// used again.
fn next(body: &mut Body, cx: &mut Context<'_>) -> Poll<Option<Result<Chunk, Error>>> {
    let next = Pin::new(&mut *body).poll_next(cx);
    if matches!(&next, Poll::Ready(Some(Ok(chunk))) if chunk.is_last()) {
        let _ = Pin::new(body).poll_next(cx);
    }
    next
}

/// How long nothing was said.
struct Silence {
    interval: Duration,
    since: Instant,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Silence {
    fn new(interval: Duration) -> Self {
        Self {
            interval,
            since: Instant::now(),
            sleep: None,
        }
    }

    fn broken(&mut self) {
        self.since = Instant::now();
    }

    /// Ready once a whole interval was silent. The timer is not moved at each event: it looks when it fires.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep(self.interval)));
            if sleep.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            let due = self.since + self.interval;
            if due <= Instant::now() {
                self.since = Instant::now();
                sleep.as_mut().reset(self.since + self.interval);
                return Poll::Ready(());
            }
            sleep.as_mut().reset(due);
        }
    }
}
