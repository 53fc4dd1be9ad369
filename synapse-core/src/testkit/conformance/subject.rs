//! The module under test, held at arm's length: no panic and no silence of it stops the suite.

use std::{
    any::Any,
    fmt,
    future::{Future, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::{Pin, pin},
    sync::{Mutex, PoisonError},
    task::Poll,
    time::Duration,
};

use futures_core::Stream;
use tokio::{task::coop, time::timeout};

use crate::{Body, Chunk, Error, InferenceModule, Input, MetricsData, ModuleCapabilities, Output};

/// More chunks than any reply of the suite has.
const MOST_CHUNKS: usize = 100_000;

pub(super) struct Subject<M> {
    module: M,
    timeout: Duration,
    panics: Mutex<Vec<String>>,
    metrics: Mutex<Vec<MetricsData>>,
}

/// What kept a call from returning.
#[derive(Debug, Clone)]
pub(super) enum Fault {
    Panicked(String),
    Silent(Duration),
}

/// What a request came to.
pub(super) enum Answer {
    Refused(Error),
    Replied(Reply),
}

/// A reply, read to its end.
pub(super) struct Reply {
    /// What a look at the body said the moment that `run_inference` returned; `None` where there was nothing yet.
    pub(super) at_once: Option<Result<(), Error>>,
    pub(super) chunks: Vec<Chunk>,
    pub(super) broken: Option<Error>,
    /// Whether the source went on after its last chunk.
    pub(super) went_on: bool,
}

impl<M: InferenceModule> Subject<M> {
    pub(super) fn new(module: M, timeout: Duration) -> Self {
        Self {
            module,
            timeout,
            panics: Mutex::default(),
            metrics: Mutex::default(),
        }
    }

    pub(super) fn module(&self) -> &M {
        &self.module
    }

    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Awaits one call of the module, called `what` in reports.
    pub(super) async fn call<T>(&self, what: &str, call: impl Future<Output = T>) -> Result<T, Fault> {
        let mut call = pin!(call);
        let guarded = poll_fn(
            |cx| match catch_unwind(AssertUnwindSafe(|| call.as_mut().poll(cx))) {
                Ok(poll) => poll.map(Ok),
                Err(payload) => Poll::Ready(Err(self.panicked(what, &*payload))),
            },
        );
        match timeout(self.timeout, guarded).await {
            Ok(result) => result,
            Err(_) => Err(Fault::Silent(self.timeout)),
        }
    }

    /// Makes one call that does not wait.
    pub(super) fn ask_at_once<T>(&self, what: &str, call: impl FnOnce(&M) -> T) -> Result<T, Fault> {
        catch_unwind(AssertUnwindSafe(|| call(&self.module)))
            .map_err(|payload| self.panicked(what, &*payload))
    }

    pub(super) fn capabilities(&self) -> Result<ModuleCapabilities, Fault> {
        self.ask_at_once("get_capabilities", M::get_capabilities)
    }

    /// Sends one request and reads its reply to the end.
    pub(super) async fn ask(&self, input: Input) -> Result<Answer, Fault> {
        let answer = match self
            .call("run_inference", self.module.run_inference(input))
            .await?
        {
            Err(error) => Answer::Refused(error),
            Ok(output) => Answer::Replied(self.call("the body", read(output.body)).await?),
        };
        match &answer {
            Answer::Refused(error) => self.note_panic("run_inference", Some(error)),
            Answer::Replied(reply) => self.note_panic("the body", reply.broken.as_ref()),
        }
        self.observe_metrics();
        Ok(answer)
    }

    /// Sends one request and reads nothing of its reply yet.
    pub(super) async fn open(&self, input: Input) -> Result<Result<Output, Error>, Fault> {
        self.call("run_inference", self.module.run_inference(input)).await
    }

    pub(super) fn observe_metrics(&self) {
        if let Ok(metrics) = self.ask_at_once("get_metrics", M::get_metrics) {
            lock(&self.metrics).push(metrics);
        }
    }

    pub(super) fn observed_metrics(&self) -> Vec<MetricsData> {
        lock(&self.metrics).clone()
    }

    pub(super) fn observed_panics(&self) -> Vec<String> {
        lock(&self.panics).clone()
    }

    /// A wrapper, or the body, may have caught it already.
    fn note_panic(&self, what: &str, error: Option<&Error>) {
        if let Some(error) = error
            && error.code() == "module_panicked"
        {
            lock(&self.panics).push(format!("{what}: {error}"));
        }
    }

    fn panicked(&self, what: &str, payload: &(dyn Any + Send)) -> Fault {
        let text = payload
            .downcast_ref::<&str>()
            .copied()
            .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
            .unwrap_or("a panic without a message");
        lock(&self.panics).push(format!("{what}: {text}"));
        Fault::Panicked(text.to_owned())
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Panicked(text) => write!(f, "a panic: {text}"),
            Self::Silent(time) => write!(f, "nothing within {time:?}"),
        }
    }
}

/// The next chunk of a body.
pub(super) async fn next(body: &mut Body) -> Option<Result<Chunk, Error>> {
    poll_fn(|cx| Pin::new(&mut *body).poll_next(cx)).await
}

/// Reads a body to its end.
pub(super) async fn read(mut body: Body) -> Reply {
    let at_once = ready_now(body.peek()).await.map(|peeked| peeked.map(drop));
    let mut reply = Reply {
        at_once,
        chunks: Vec::new(),
        broken: None,
        went_on: false,
    };
    // A peek that failed is the end of the body.
    if let Some(Err(error)) = &reply.at_once {
        reply.broken = Some(error.clone());
        return reply;
    }
    loop {
        match next(&mut body).await {
            Some(Ok(chunk)) => {
                let last = chunk.is_last();
                reply.chunks.push(chunk);
                if last {
                    reply.went_on = poll_fn(|cx| Poll::Ready(body.poll_past_last(cx))).await.is_some();
                    return reply;
                }
            }
            Some(Err(error)) => {
                reply.broken = Some(error);
                return reply;
            }
            None => return reply,
        }
        if reply.chunks.len() == MOST_CHUNKS {
            reply.broken = Some(Error::broken(
                "endless_reply",
                "the reply did not end after 100000 chunks",
            ));
            return reply;
        }
    }
}

/// What `future` is worth now, without waiting for it.
async fn ready_now<F: Future>(future: F) -> Option<F::Output> {
    let mut future = pin!(coop::unconstrained(future));
    poll_fn(|cx| {
        Poll::Ready(match future.as_mut().poll(cx) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        })
    })
    .await
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
