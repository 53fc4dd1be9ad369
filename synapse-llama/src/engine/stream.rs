use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::sync::mpsc::UnboundedReceiver;

use super::shared::Shared;
use crate::error::LlamaError;
use synapse_core::{FinishReason, Token, Usage};

/// What happens to a reply.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum GenerationEvent {
    /// It grows.
    Text {
        /// What is added: whole characters, free of stop texts. May be empty where a token stands for no text.
        text: String,
        /// The tokens that the text began in.
        tokens: Vec<Token>,
    },
    /// It ends, and nothing follows.
    End {
        /// Why.
        reason: FinishReason,
        /// Tokens of the prompt, and tokens that were chosen. Those of a stop text are counted; the token by which the
        /// model says that it is done is not.
        usage: Usage,
    },
}

/// A reply as it is written. Dropping it stops the work within one decode step and frees the sequence.
///
/// Events wait here until they are read, at most one for each token and two more, so a slow reader holds up nobody.
#[derive(Debug)]
pub struct Generation {
    events: UnboundedReceiver<Result<GenerationEvent, LlamaError>>,
    shared: Arc<Shared>,
    over: bool,
}

impl Generation {
    pub(super) fn new(
        events: UnboundedReceiver<Result<GenerationEvent, LlamaError>>,
        shared: Arc<Shared>,
    ) -> Self {
        Self {
            events,
            shared,
            over: false,
        }
    }

    /// The next event; `None` after the end or an error. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Result<GenerationEvent, LlamaError>> {
        std::future::poll_fn(|context| self.poll_next(context)).await
    }

    /// As [`next`](Self::next), for hand-written futures.
    pub fn poll_next(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<GenerationEvent, LlamaError>>> {
        if self.over {
            return Poll::Ready(None);
        }
        self.events.poll_recv(context).map(|event| {
            let event = event.unwrap_or_else(|| Err(self.shared.why_ended()));
            self.over = !matches!(event, Ok(GenerationEvent::Text { .. }));
            Some(event)
        })
    }
}
