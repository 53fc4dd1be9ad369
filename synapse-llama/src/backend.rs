//! The edge to llama.cpp: what has to be done once in a process, and what its bindings leave to their caller.
//!
//! Quirks that the rest of the crate relies on this file for:
//! - the backend is initialised once and never freed; another user of `llama-cpp-2` in the process may have done it;
//! - llama.cpp's log goes to `tracing` (target `llama-cpp-2`), not to standard error;
//! - making a context mutates the model, so contexts are made one at a time over the whole process;
//! - `get_logits_ith` and the vocabulary's functions abort or panic on ids out of range, so ids are checked before;
//! - `LlamaVocab::vocab_type` and `attr` panic on kinds that the bindings don't know, so they aren't used.

use std::sync::{LazyLock, Mutex, PoisonError};

use llama_cpp_2::context::LlamaContext;
use llama_cpp_2::context::params::LlamaContextParams;
use llama_cpp_2::llama_backend::LlamaBackend;
use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::{LogOptions, send_logs_to_tracing};

static BACKEND: LazyLock<LlamaBackend> = LazyLock::new(|| {
    send_logs_to_tracing(LogOptions::default());
    // The only failure is that someone else in this process initialised it: then the proof of it is made by hand.
    // It lives in a static and is never dropped, so the backend is never freed under the other user.
    LlamaBackend::init().unwrap_or(LlamaBackend {})
});

static CONTEXT_CREATION: Mutex<()> = Mutex::new(());

/// The initialised backend.
pub(crate) fn backend() -> &'static LlamaBackend {
    &BACKEND
}

/// Makes a context; `None` where llama.cpp refuses (its log says why: most often memory).
pub(crate) fn new_context(model: &LlamaModel, params: LlamaContextParams) -> Option<LlamaContext<'_>> {
    // SAFETY of `new_context`, which is unsound in parallel: this lock makes it serial. It guards no data to poison.
    let _one_at_a_time = CONTEXT_CREATION.lock().unwrap_or_else(PoisonError::into_inner);
    model.new_context(backend(), params).ok()
}
