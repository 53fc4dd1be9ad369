//! Bodies that are watched: a request's for its pace, a reply's for its end.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use http_body::{Body, Frame, SizeHint};
use synapse_core::{Error, ErrorKind};
use tokio::time::{Duration, Instant, Sleep, sleep_until};
use tower::BoxError;

use super::activity::Activity;

/// The slowest upload that is waited for, in bytes a second, once the body timeout has passed.
const SLOWEST_UPLOAD: u64 = 1024;

/// A request's body that fails when its bytes come too slowly.
#[derive(Debug)]
pub(super) struct Paced {
    body: hyper::body::Incoming,
    activity: Arc<Activity>,
    limit: Duration,
    started: Option<Instant>,
    received: u64,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Paced {
    pub(super) fn new(body: hyper::body::Incoming, activity: Arc<Activity>, limit: Duration) -> Self {
        Self {
            body,
            activity,
            limit,
            started: None,
            received: 0,
            sleep: None,
        }
    }

    /// Each pause is bounded, and so is their sum: a byte now and then does not keep a place.
    fn due(&self, started: Instant) -> Instant {
        let earned = Duration::from_secs(self.received / SLOWEST_UPLOAD);
        (Instant::now() + self.limit).min(started + self.limit + earned)
    }

    fn too_slow(&self) -> BoxError {
        Error::new(
            ErrorKind::Invalid,
            "request_timeout",
            format!("the request's body stopped coming after {} bytes", self.received),
        )
        .with_hint("send the body without pauses")
        .into()
    }
}

impl Body for Paced {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        let started = *this.started.get_or_insert_with(Instant::now);
        let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) else {
            if this.sleep.is_none() {
                this.sleep = Some(Box::pin(sleep_until(this.due(started))));
            }
            let sleep = this.sleep.as_mut().expect("set above");
            ready!(sleep.as_mut().poll(cx));
            return Poll::Ready(Some(Err(this.too_slow())));
        };
        this.sleep = None;
        if let Some(Ok(frame)) = &frame {
            this.received += frame.data_ref().map_or(0, Buf::remaining) as u64;
        }
        if frame.is_none() || this.body.is_end_stream() {
            this.activity.request_ended();
        }
        Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A reply's body that says when it is over.
#[derive(Debug)]
pub(super) struct Watched {
    body: axum::body::Body,
    activity: Arc<Activity>,
    ended: bool,
}

impl Watched {
    pub(super) fn new(body: axum::body::Body, activity: Arc<Activity>) -> Self {
        Self {
            body,
            activity,
            ended: false,
        }
    }
}

impl Body for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        self.ended = frame.is_none();
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let whole = self.ended || self.body.is_end_stream();
        self.activity.response_ended(whole);
    }
}
