//! Work that takes long, and how far it is.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use futures_core::Stream;
use futures_util::StreamExt as _;
use serde::{Deserialize, Serialize};
use synapse_core::Error;
use tokio::sync::mpsc;

/// How many steps may be on their way to a reader who takes his time; the work waits for him then.
const STEPS: usize = 16;

/// How far some work is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Progress {
    /// What is being done, in Ollama's words: `pulling manifest`, `verifying sha256 digest`, `success`.
    pub status: String,
    /// The digest of the file that it is done to, where it is one file.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub digest: String,
    /// That file's size, in bytes; 0 where nobody knows.
    pub total: u64,
    /// How much of it is done, in bytes.
    pub completed: u64,
}

type Work = Pin<Box<dyn Future<Output = Result<(), Error>> + Send>>;

/// Work that takes long, as a stream of how far it is. It goes on while the stream is read, and stops when it is dropped.
///
/// The stream ends once the work is done; what it failed with is its last item.
#[must_use = "nothing is done unless it is read"]
pub struct Transfer {
    work: Option<Work>,
    steps: mpsc::Receiver<Progress>,
    failure: Option<Error>,
}

impl Transfer {
    pub(super) fn new<F>(work: impl FnOnce(mpsc::Sender<Progress>) -> F) -> Self
    where
        F: Future<Output = Result<(), Error>> + Send + 'static,
    {
        let (sender, steps) = mpsc::channel(STEPS);
        Self {
            work: Some(Box::pin(work(sender))),
            steps,
            failure: None,
        }
    }

    /// Does the work to its end, and shows nobody how far it is.
    ///
    /// # Errors
    /// What the work failed with.
    pub async fn finish(mut self) -> Result<(), Error> {
        while let Some(step) = self.next().await {
            step?;
        }
        Ok(())
    }
}

impl Stream for Transfer {
    type Item = Result<Progress, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if let Some(work) = &mut this.work
            && let Poll::Ready(result) = work.as_mut().poll(cx)
        {
            this.work = None;
            this.failure = result.err();
        }
        match this.steps.poll_recv(cx) {
            Poll::Ready(Some(step)) => Poll::Ready(Some(Ok(step))),
            // The work holds the other end, so this is after its end.
            Poll::Ready(None) => Poll::Ready(this.failure.take().map(Err)),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl fmt::Debug for Transfer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transfer")
            .field("done", &self.work.is_none())
            .finish_non_exhaustive()
    }
}
