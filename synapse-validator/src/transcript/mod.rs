//! Prompts and answers, kept only where an operator asks for it by name.
//!
//! Nothing else in this crate stores or logs what a user wrote or a model said. Who needs it (to look into a complaint, with
//! his users' consent) puts a [`TranscriptLayer`] into his stack: what it keeps is [redacted](redact), readable by the
//! operator's own account only, and deleted after a time.

#[cfg(feature = "config")]
mod config;
mod redact;
mod store;

use std::{
    path::PathBuf,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use async_trait::async_trait;
use serde::Serialize;
use synapse_core::{
    Attached, Caller, Chunk, Content, Ending, Error, InferenceService, Input, MetricsData, Middleware,
    MiddlewareService, Next, Output, Part, Pending, Prompt, RequestId, Tap,
};
use tower::Layer;

#[cfg(feature = "config")]
pub use self::config::TranscriptsConfig;
pub use self::redact::redact;
use self::store::Store;

/// Bytes of a prompt that are kept, and of an answer.
const MOST_TEXT: usize = 64 * 1024;

/// Bytes of a character in UTF-8; what is cut may be shorter than the room by less.
const LONGEST_CHARACTER: usize = 4;

/// The longest word that is looked for at the end of what was cut, in bytes.
const LONGEST_WORD: usize = 1024;

/// How transcripts are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Settings {
    /// How long; whole days of UTC, at least one.
    pub days: u32,
    /// Bytes of one day, after which the rest of that day is not kept.
    pub bytes_a_day: u64,
    /// Whether what looks personal or secret is taken out first.
    pub redacted: bool,
}

impl Default for Settings {
    /// Seven days, a gibibyte of each, redacted.
    fn default() -> Self {
        Self {
            days: 7,
            bytes_a_day: 1024 * 1024 * 1024,
            redacted: true,
        }
    }
}

/// Keeps prompts and answers in a directory of files, `YYYY-MM-DD.jsonl`, one JSON object a request.
///
/// Of each text 64 KiB are kept. They are written by a thread of their own: where the disk cannot follow, transcripts are
/// left out and counted (`transcripts.dropped`), and no request waits. They are no ledger: a crash loses the last ones.
#[derive(Debug, Clone)]
pub struct TranscriptLayer {
    store: Arc<Store>,
}

/// One request, as it is kept.
#[derive(Debug, Serialize)]
struct Transcript {
    /// When it came, in seconds since 1970.
    at: u64,
    request: Option<String>,
    caller: Option<String>,
    model: String,
    prompt: String,
    answer: String,
    /// Whether a text was longer than what is kept.
    cut: bool,
    outcome: &'static str,
}

impl TranscriptLayer {
    /// Keeps them in this directory, which is made for the operator alone. Waits for the disk.
    ///
    /// # Errors
    /// `transcripts_unwritable`.
    pub fn open(directory: impl Into<PathBuf>, settings: &Settings) -> Result<Self, Error> {
        let store = Arc::new(Store::open(directory.into(), settings)?);
        Ok(Self { store })
    }
}

impl<S> Layer<S> for TranscriptLayer {
    type Service = MiddlewareService<Self, S>;

    fn layer(&self, inner: S) -> Self::Service {
        MiddlewareService::new(Arc::new(self.clone()), inner)
    }
}

impl Middleware for TranscriptLayer {
    async fn handle<S: InferenceService>(&self, input: Input, next: Next<S>) -> Result<Output, Error> {
        let extensions = input.extensions();
        let mut transcript = Transcript {
            at: SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |since| since.as_secs()),
            request: extensions.get::<RequestId>().map(ToString::to_string),
            caller: extensions.get::<Caller>().map(|caller| caller.id().to_string()),
            model: input.model()?.to_owned(),
            prompt: String::new(),
            answer: String::new(),
            cut: false,
            outcome: "",
        };
        match &input.request()?.prompt {
            Prompt::Messages(messages) => {
                for message in messages {
                    transcript.ask(&message.role);
                    transcript.ask(": ");
                    for text in texts(&message.content) {
                        transcript.ask(text);
                    }
                    transcript.ask("\n");
                }
            }
            Prompt::Texts(texts) => texts.iter().for_each(|text| {
                transcript.ask(text);
                transcript.ask("\n");
            }),
            _ => {}
        }
        let pending = Pending::new(Writing {
            store: self.store.clone(),
            transcript: Some(transcript),
        });
        pending.settle(next.run(input).await)
    }
}

fn texts(content: &Content) -> Vec<&str> {
    match content {
        Content::Text(text) => vec![text],
        Content::Parts(parts) => parts
            .iter()
            .filter_map(|part| match part {
                Part::Text(text) => Some(text.as_str()),
                _ => None,
            })
            .collect(),
        _ => Vec::new(),
    }
}

impl Transcript {
    fn ask(&mut self, text: &str) {
        self.cut |= push(&mut self.prompt, text);
    }

    fn redact(&mut self) {
        for text in [&mut self.prompt, &mut self.answer] {
            if text.len() + LONGEST_CHARACTER > MOST_TEXT {
                text.truncate(without_half(text).len());
            }
            *text = redact(text).into_owned();
        }
    }

    fn answer(&mut self, text: &str) {
        self.cut |= push(&mut self.answer, text);
    }
}

/// A text that was cut, without its last word and number: the half of an address or a card does not look like one.
fn without_half(text: &str) -> &str {
    let from = text.floor_char_boundary(text.len().saturating_sub(LONGEST_WORD));
    let end = text[from..]
        .rfind(char::is_whitespace)
        .map_or(from, |space| from + space);
    text[..end].trim_end_matches(|last: char| last.is_ascii_digit() || " -".contains(last))
}

/// Puts as much of `text` at the end as there is room for; whether that was not all.
fn push(kept: &mut String, text: &str) -> bool {
    let room = MOST_TEXT.saturating_sub(kept.len());
    let fitting = &text[..text.floor_char_boundary(room)];
    kept.push_str(fitting);
    fitting.len() < text.len()
}

struct Writing {
    store: Arc<Store>,
    transcript: Option<Transcript>,
}

impl Tap for Writing {
    fn on_chunk(&mut self, chunk: &Chunk) {
        let (Some(transcript), Ok(deltas)) = (&mut self.transcript, chunk.deltas()) else {
            return;
        };
        for delta in deltas {
            transcript.answer(&delta.reasoning);
            transcript.answer(&delta.text);
            for call in &delta.tool_calls {
                transcript.answer(call.name.as_deref().unwrap_or_default());
                transcript.answer(&call.arguments);
            }
        }
    }

    fn on_end(&mut self, ending: &Ending) {
        let Some(mut transcript) = self.transcript.take() else {
            return;
        };
        transcript.outcome = ending.as_str();
        self.store.keep(transcript);
    }
}

#[async_trait]
impl Attached for TranscriptLayer {
    fn metrics(&self, metrics: &mut MetricsData) {
        metrics.counter("transcripts.kept", self.store.kept());
        metrics.counter("transcripts.dropped", self.store.dropped());
    }

    async fn shutdown(&self) -> Result<(), Error> {
        let store = self.store.clone();
        tokio::task::spawn_blocking(move || store.finish())
            .await
            .map_err(|error| {
                Error::internal("transcripts_unfinished", "writing transcripts ended early")
                    .with_source(error)
            })
    }
}
