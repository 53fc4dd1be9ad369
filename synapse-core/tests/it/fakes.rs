//! What the tests are made of: a tap that remembers, sources that do as they are told.

use std::{
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};

use futures_util::{Stream, StreamExt, stream};
use synapse_core::{Body, Chunk, Delta, Ending, Error, Input, Message, Output, Tap, testkit::Scripted};
use tokio::time::sleep;

/// Remembers what it was told, as lines; a clone shares the memory.
#[derive(Debug, Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    pub(crate) fn note(&self, line: impl Into<String>) {
        self.0.lock().unwrap().push(line.into());
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    /// How often the body's end was told.
    pub(crate) fn endings(&self) -> Vec<String> {
        self.lines()
            .into_iter()
            .filter(|line| !line.starts_with("chunk"))
            .collect()
    }

    pub(crate) fn tap(&self) -> LogTap {
        LogTap {
            log: self.clone(),
            name: "",
        }
    }

    pub(crate) fn tap_named(&self, name: &'static str) -> LogTap {
        LogTap {
            log: self.clone(),
            name,
        }
    }
}

pub(crate) struct LogTap {
    log: Log,
    name: &'static str,
}

impl Tap for LogTap {
    fn on_chunk(&mut self, chunk: &Chunk) {
        self.log.note(format!("chunk {}{}", self.name, shown(chunk)));
    }

    fn on_end(&mut self, ending: &Ending) {
        let line = match ending {
            Ending::Broken(error) => format!("{}broken {}", self.name, error.code()),
            other => format!("{}{}", self.name, other.as_str()),
        };
        self.log.note(line);
    }
}

/// Panics whenever it is told anything.
pub(crate) struct PanickingTap;

impl Tap for PanickingTap {
    fn on_chunk(&mut self, _: &Chunk) {
        panic!("a fault injected on a chunk");
    }

    fn on_end(&mut self, _: &Ending) {
        panic!("a fault injected at the end");
    }
}

/// A word for a chunk.
pub(crate) fn shown(chunk: &Chunk) -> String {
    if let Some((name, _)) = chunk.as_control() {
        return format!("!{name}");
    }
    match chunk.wire() {
        Some(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        None => chunk
            .deltas()
            .unwrap()
            .iter()
            .map(|delta| delta.text.as_str())
            .collect(),
    }
}

pub(crate) fn role() -> Chunk {
    let mut delta = Delta::default();
    delta.role = Some("assistant".into());
    Chunk::delta(delta)
}

pub(crate) fn text(text: &str) -> Chunk {
    Chunk::delta(Delta::text(text))
}

pub(crate) fn last(text: &str) -> Chunk {
    Chunk::delta(Delta::text(text)).into_last()
}

pub(crate) fn failure(code: &'static str) -> Error {
    Error::broken(code, "a fault injected by a test")
}

/// A body of what is there already.
pub(crate) fn body_of(
    items: impl IntoIterator<Item = Result<Chunk, Error>, IntoIter: Send + 'static>,
) -> Body {
    Body::new(stream::iter(items))
}

/// Everything a body yields: chunks as words, errors as `error code`.
pub(crate) async fn drained(body: &mut Body) -> Vec<String> {
    let mut seen = Vec::new();
    while let Some(next) = body.next().await {
        seen.push(match next {
            Ok(chunk) => shown(&chunk),
            Err(error) => format!("error {}", error.code()),
        });
    }
    seen
}

/// A module whose head takes `head` and whose body takes `body` more.
pub(crate) fn slow(head: Duration, body: Duration) -> Scripted {
    Scripted::new(move |_| async move {
        sleep(head).await;
        let items = [Ok(text("a ")), Ok(last("b"))];
        let late = stream::iter(items)
            .enumerate()
            .then(move |(at, item)| async move {
                if at == 1 {
                    sleep(body).await;
                }
                item
            });
        Ok(Output::new(Body::new(late)))
    })
}

pub(crate) fn ask() -> Input {
    Input::chat("scripted", [Message::user("Are you there?")])
}

/// A source that says when it was dropped.
pub(crate) struct Noted<S> {
    pub(crate) source: S,
    pub(crate) log: Log,
}

impl<S: Stream + Unpin> Stream for Noted<S> {
    type Item = S::Item;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<S::Item>> {
        self.source.poll_next_unpin(cx)
    }
}

impl<S> Drop for Noted<S> {
    fn drop(&mut self) {
        self.log.note("source dropped");
    }
}
