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
use crate::dialect::openai::{ReplyShape, StreamWriter, control_event, error_event};

const KEEP_ALIVE: Bytes = Bytes::from_static(b": keep-alive\n\n");

/// Events as they come, and what a module in Rust says as events.
pub(super) fn events(body: Body, shape: ReplyShape, options: &Options) -> HttpBody {
    HttpBody::new(Reply::new(body, Form::Events(Some(shape.stream())), options))
}

/// A whole reply as events.
pub(super) fn unfolded(body: Body, shape: ReplyShape, options: &Options) -> HttpBody {
    HttpBody::new(Reply::new(body, Form::Unfolded(Some(shape.stream())), options))
}

/// Bytes of which nothing is known.
pub(super) fn bytes(body: Body, options: &Options) -> HttpBody {
    HttpBody::new(Reply::new(body, Form::Bytes, options))
}

/// What becomes of a chunk. A writer writes what came without bytes, and is used up by the end.
enum Form {
    Events(Option<StreamWriter>),
    Unfolded(Option<StreamWriter>),
    Bytes,
}

/// An output's body as an HTTP body.
struct Reply {
    state: State,
    form: Form,
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
    fn new(body: Body, form: Form, options: &Options) -> Self {
        let silence = match form {
            Form::Bytes => None,
            _ => Some(Silence::new(options.keep_alive)),
        };
        Self {
            state: State::Open(body),
            form,
            out: VecDeque::new(),
            controls: options.controls,
            silence,
        }
    }

    fn take(&mut self, chunk: &Chunk) -> Result<(), Error> {
        if let Some((name, payload)) = chunk.as_control() {
            if self.controls && !matches!(self.form, Form::Bytes) {
                self.out.push_back(control_event(name, payload));
            }
        } else if let (Form::Events(_) | Form::Bytes, Some(bytes)) = (&self.form, chunk.wire()) {
            self.out.push_back(bytes.clone());
            return Ok(());
        }
        let (Form::Events(writer) | Form::Unfolded(writer)) = &mut self.form else {
            return Ok(());
        };
        let deltas = chunk.deltas()?;
        if chunk.wire().is_some() && deltas.is_empty() {
            return Err(Error::broken(
                "unreadable_reply",
                "a stream was asked for, and the reply is whole and nobody here can read it",
            ));
        }
        if let Some(writer) = writer {
            let events = deltas.iter().map(|delta| writer.event(delta));
            self.out.extend(events.filter(|event| !event.is_empty()));
        }
        if chunk.is_last() {
            self.out.extend(writer.take().map(StreamWriter::finish));
        }
        Ok(())
    }

    /// Says what failed where a client looks for it, in the stream.
    fn fail(&mut self, error: Error) {
        tracing::debug!(%error, "a reply broke off");
        let told = matches!(self.form, Form::Bytes);
        if !told {
            self.out.push_back(error_event(&error));
        }
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
                    this.out.push_back(KEEP_ALIVE);
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
