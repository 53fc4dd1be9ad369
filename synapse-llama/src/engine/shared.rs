use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::LlamaError;

/// Whether an engine answers.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EngineStatus {
    /// It takes requests.
    Running,
    /// It was shut down.
    Stopped,
    /// Its worker thread died, for this reason.
    Failed(String),
}

/// What an engine has done since its start, and what it is doing. Numbers read while it works are a moment apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct EngineStats {
    /// Decode steps of the generating context.
    pub decode_steps: u64,
    /// Prompt tokens that were read, embedded texts left out.
    pub prompt_tokens: u64,
    /// Reply tokens that were chosen, those that end a reply included.
    pub generated_tokens: u64,
    /// Tokens of texts that were embedded.
    pub embedded_tokens: u64,
    /// Requests that got a sequence, or began to be embedded.
    pub started: u64,
    /// Requests that were answered to the end.
    pub finished: u64,
    /// Requests whose caller left.
    pub cancelled: u64,
    /// Requests that ended with an error after they were taken.
    pub failed: u64,
    /// Requests that were refused because the queue was full.
    pub refused: u64,
    /// Requests that hold a sequence, or are being embedded, now.
    pub active: usize,
    /// Requests that wait now.
    pub queued: usize,
}

/// What the worker thread and the handles both see.
#[derive(Debug, Default)]
pub(super) struct Shared {
    pub(super) decode_steps: AtomicU64,
    pub(super) prompt_tokens: AtomicU64,
    pub(super) generated_tokens: AtomicU64,
    pub(super) embedded_tokens: AtomicU64,
    pub(super) started: AtomicU64,
    pub(super) finished: AtomicU64,
    pub(super) cancelled: AtomicU64,
    pub(super) failed: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) active: AtomicUsize,
    /// Requests that were taken and are not over: waiting or active.
    in_flight: AtomicUsize,
    stop: AtomicBool,
    ended: Mutex<Option<EngineStatus>>,
}

impl Shared {
    /// Adds to one of the counters.
    pub(super) fn count(counter: &AtomicU64, by: usize) {
        counter.fetch_add(by as u64, SeqCst);
    }

    pub(super) fn stats(&self) -> EngineStats {
        let active = self.active.load(SeqCst);
        EngineStats {
            decode_steps: self.decode_steps.load(SeqCst),
            prompt_tokens: self.prompt_tokens.load(SeqCst),
            generated_tokens: self.generated_tokens.load(SeqCst),
            embedded_tokens: self.embedded_tokens.load(SeqCst),
            started: self.started.load(SeqCst),
            finished: self.finished.load(SeqCst),
            cancelled: self.cancelled.load(SeqCst),
            failed: self.failed.load(SeqCst),
            refused: self.refused.load(SeqCst),
            active,
            queued: self.in_flight.load(SeqCst).saturating_sub(active),
        }
    }

    /// Takes one of `places`, or `None` where all are taken.
    pub(super) fn admit(self: &Arc<Self>, places: usize) -> Option<Ticket> {
        let taken = |in_flight| (in_flight < places).then_some(in_flight + 1);
        self.in_flight
            .fetch_update(SeqCst, SeqCst, taken)
            .ok()
            .map(|_before| Ticket(Arc::clone(self)))
    }

    /// Whether all of `places` are taken.
    pub(super) fn is_full(&self, places: usize) -> bool {
        self.in_flight.load(SeqCst) >= places
    }

    /// Counts a refusal.
    pub(super) fn refuse(&self, error: LlamaError) -> LlamaError {
        Self::count(&self.refused, 1);
        error
    }

    /// Asks the worker to end after its current step.
    pub(super) fn ask_to_stop(&self) {
        self.stop.store(true, SeqCst);
    }

    pub(super) fn asked_to_stop(&self) -> bool {
        self.stop.load(SeqCst)
    }

    /// Says how the worker ended.
    pub(super) fn end(&self, status: EngineStatus) {
        *self.ended.lock().unwrap_or_else(PoisonError::into_inner) = Some(status);
    }

    pub(super) fn status(&self) -> EngineStatus {
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match ended {
            Some(status) => status,
            None if self.asked_to_stop() => EngineStatus::Stopped,
            None => EngineStatus::Running,
        }
    }

    /// Why a request that the worker let go of got no answer.
    pub(super) fn why_ended(&self) -> LlamaError {
        match self.status() {
            EngineStatus::Failed(reason) => LlamaError::Failed(reason),
            EngineStatus::Stopped => LlamaError::Stopped,
            // The worker drops its requests an instant before it says how it ended.
            EngineStatus::Running => LlamaError::Failed("its worker thread ended".to_owned()),
        }
    }
}

/// One request's place among those in flight; given back when dropped.
#[derive(Debug)]
pub(super) struct Ticket(Arc<Shared>);

impl Drop for Ticket {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, SeqCst);
    }
}
