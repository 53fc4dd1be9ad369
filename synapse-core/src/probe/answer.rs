//! Asking, and what came back.

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    time::Duration,
};

use futures_core::Stream;
use tokio::time::{Instant, timeout};

use super::Pace;
use crate::{Body, Chunk, Delta, Error, ErrorKind, FinishReason, InferenceModule, Input};

/// How much of the text is kept, in bytes.
const KEPT: usize = 16 * 1024;

/// What came back, as whoever asked measured it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Answer {
    /// From asking to the first content; `None` where there was none.
    pub first_content: Option<Duration>,
    /// From asking to the end.
    pub total: Duration,
    /// The text, as far as it is kept: the first 16 KiB.
    pub text: String,
    /// How many bytes of text there were, reasoning and arguments of tool calls included.
    pub text_bytes: u64,
    /// In how many chunks with text.
    pub chunks: u32,
    /// Why it ended, where it says so.
    pub finish: Option<FinishReason>,
    /// What went wrong; `None` of a reply that is whole.
    pub error: Option<Error>,
}

/// Asks `module`, and reads all that comes back within `limit`, however it is framed.
///
/// A reply that is not whole by then has an error of the kind [`Timeout`](ErrorKind::Timeout), and what came of it; one
/// that ends without any text, tool call or vector has the error `empty_reply`. Cancel safe: what is dropped is not asked
/// any more.
pub async fn ask(module: &dyn InferenceModule, input: Input, limit: Duration) -> Answer {
    let started = Instant::now();
    let mut answer = Answer {
        first_content: None,
        total: Duration::ZERO,
        text: String::new(),
        text_bytes: 0,
        chunks: 0,
        finish: None,
        error: None,
    };
    let reading = async {
        let mut body = module.run_inference(input).await?.body;
        while let Some(chunk) = next(&mut body).await {
            answer.note(&chunk?, started)?;
        }
        match answer.first_content {
            Some(_) => Ok(()),
            None => Err(Error::broken(
                "empty_reply",
                "the reply is whole, and there is nothing in it",
            )),
        }
    };
    let read = timeout(limit, pin!(reading)).await.unwrap_or_else(|_| {
        Err(Error::new(
            ErrorKind::Timeout,
            "answer_timeout",
            format!("the reply was not whole within {limit:?}"),
        ))
    });
    answer.total = started.elapsed();
    answer.error = read.err();
    answer
}

impl Answer {
    /// Tokens of the text, estimated at four bytes each: nobody asks whoever answered.
    #[must_use]
    pub fn tokens(&self) -> u64 {
        self.text_bytes.div_ceil(4)
    }

    /// How fast it came; `None` where nothing did.
    #[must_use]
    pub fn pace(&self) -> Option<Pace> {
        let (first, rest) = (self.first_content?, self.spread()?);
        Some(Pace::new(self.text_bytes, self.chunks, first, rest))
    }

    /// Tokens a second, as [`Pace::of_a_whole`] has them.
    #[must_use]
    pub fn tokens_per_second(&self) -> Option<f64> {
        let speed = self.pace()?.of_a_whole()?;
        #[expect(clippy::cast_precision_loss, reason = "a speed is less than 2^52")]
        Some(speed as f64 / 1000.0)
    }

    /// From the first content to the end.
    pub(super) fn spread(&self) -> Option<Duration> {
        Some(self.total.saturating_sub(self.first_content?))
    }

    fn note(&mut self, chunk: &Chunk, started: Instant) -> Result<(), Error> {
        let (mut text, mut other) = (false, false);
        for delta in chunk.deltas()? {
            for piece in texts(delta).filter(|piece| !piece.is_empty()) {
                text = true;
                self.text_bytes = self.text_bytes.saturating_add(piece.len() as u64);
                let left = KEPT.saturating_sub(self.text.len());
                self.text.push_str(&piece[..piece.floor_char_boundary(left)]);
            }
            other |= !delta.tool_calls.is_empty() || delta.embedding.is_some();
            if let Some(reason) = &delta.finish_reason {
                self.finish = Some(reason.clone());
            }
        }
        self.chunks = self.chunks.saturating_add(u32::from(text));
        if text || other {
            self.first_content.get_or_insert_with(|| started.elapsed());
        }
        Ok(())
    }
}

/// What a delta adds to the text.
fn texts(delta: &Delta) -> impl Iterator<Item = &str> {
    let calls = delta.tool_calls.iter().map(|call| &*call.arguments);
    [&*delta.reasoning, &*delta.text].into_iter().chain(calls)
}

async fn next(body: &mut Body) -> Option<Result<Chunk, Error>> {
    poll_fn(|cx| Pin::new(&mut *body).poll_next(cx)).await
}
