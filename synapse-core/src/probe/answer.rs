//! Asking, and what came back.

use std::time::Duration;

use crate::{Error, FinishReason, InferenceModule, Input};

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
    /// How many bytes of text there were.
    pub text_bytes: u64,
    /// In how many chunks with text.
    pub chunks: u32,
    /// Why it ended, where it says so.
    pub finish: Option<FinishReason>,
    /// What went wrong; `None` of a reply that is whole.
    pub error: Option<Error>,
}

/// Asks `module`, and reads all that comes back within `limit`.
pub async fn ask(module: &dyn InferenceModule, input: Input, limit: Duration) -> Answer {
    let _ = (module, input, limit);
    Answer {
        first_content: None,
        total: Duration::ZERO,
        text: String::new(),
        text_bytes: 0,
        chunks: 0,
        finish: None,
        error: None,
    }
}

impl Answer {
    /// Tokens of the text, estimated at four bytes each: nobody asks whoever answered.
    #[must_use]
    pub fn tokens(&self) -> u64 {
        self.text_bytes.div_ceil(4)
    }

    /// Tokens a second from the first content to the end; `None` where there are too few to tell.
    #[must_use]
    pub fn tokens_per_second(&self) -> Option<f64> {
        None
    }
}
