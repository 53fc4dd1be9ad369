//! One count of a reply for all layers that need it.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use synapse_core::{Chunk, Ending, Output, Tap, TokenCount};

use super::{CompletionMeter, PromptTokens};

/// The tokens of one reply, counted once as it passes, however many layers ask.
///
/// The innermost layer that asks begins to count, and those around it find its count on the output's head. Taps hear of a
/// chunk from the inside out, so that in a tap set after [`of`](Metered::of) the count holds that chunk already.
#[derive(Debug, Clone)]
pub struct Metered(Arc<Reply>);

#[derive(Debug)]
struct Reply {
    meter: Mutex<CompletionMeter>,
    /// How many tokens it may have, all replies together, as the layers around it asked.
    most: AtomicU64,
}

impl Metered {
    /// The count of this output's reply; begins it where nobody did.
    pub fn of(output: &mut Output, prompt: &PromptTokens) -> Self {
        if let Some(metered) = output.head.extensions().get::<Self>() {
            return metered.clone();
        }
        let metered = Self(Arc::new(Reply {
            meter: Mutex::new(prompt.meter()),
            most: AtomicU64::new(u64::MAX),
        }));
        output.body.tap(Counter(metered.clone()));
        output.head.extensions_mut().insert(metered.clone());
        metered
    }

    /// How many so far. More may follow, and make the whole approximate: ask once the reply is over.
    #[must_use]
    pub fn count(&self) -> TokenCount {
        self.meter(CompletionMeter::count)
    }

    /// Notes how many tokens were asked for at most, where that was said: the least that anybody asked for counts.
    pub(crate) fn at_most(&self, tokens: Option<u64>) {
        self.0
            .most
            .fetch_min(tokens.unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// How many tokens were asked for at most, where somebody said.
    pub(super) fn most(&self) -> Option<u64> {
        let most = self.0.most.load(Ordering::Relaxed);
        (most < u64::MAX).then_some(most)
    }

    /// Whether a tokenizer counted all of it.
    pub(super) fn is_by_tokenizer(&self) -> bool {
        self.meter(|meter| meter.is_by_tokenizer())
    }

    fn meter<T>(&self, with: impl FnOnce(&mut CompletionMeter) -> T) -> T {
        with(&mut self.0.meter.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

struct Counter(Metered);

impl Tap for Counter {
    fn on_chunk(&mut self, chunk: &Chunk) {
        self.0.meter(|meter| meter.add(chunk));
    }

    fn on_end(&mut self, _: &Ending) {}
}
