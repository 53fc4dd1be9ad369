//! One count of a reply for all layers that need it.

use std::sync::{Arc, Mutex, PoisonError};

use synapse_core::{Chunk, Ending, Output, Tap, TokenCount};

use super::{CompletionMeter, PromptTokens};

/// The tokens of one reply, counted once as it passes, however many layers ask.
///
/// The innermost layer that asks begins to count, and those around it find its count on the output's head. Taps hear of a
/// chunk from the inside out, so that in a tap set after [`of`](Metered::of) the count holds that chunk already.
#[derive(Debug, Clone)]
pub struct Metered(Arc<Mutex<CompletionMeter>>);

impl Metered {
    /// The count of this output's reply; begins it where nobody did.
    pub fn of(output: &mut Output, prompt: &PromptTokens) -> Self {
        if let Some(metered) = output.head.extensions().get::<Self>() {
            return metered.clone();
        }
        let metered = Self(Arc::new(Mutex::new(prompt.meter())));
        output.body.tap(Counter(metered.clone()));
        output.head.extensions_mut().insert(metered.clone());
        metered
    }

    /// How many so far. More may follow, and make the whole approximate: ask once the reply is over.
    #[must_use]
    pub fn count(&self) -> TokenCount {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).count()
    }

    /// Whether a tokenizer counted all of it.
    pub(super) fn is_by_tokenizer(&self) -> bool {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .is_by_tokenizer()
    }
}

struct Counter(Metered);

impl Tap for Counter {
    fn on_chunk(&mut self, chunk: &Chunk) {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner).add(chunk);
    }

    fn on_end(&mut self, _: &Ending) {}
}
