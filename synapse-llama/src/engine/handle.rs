use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use tokio::sync::{mpsc::unbounded_channel, oneshot};

use super::config::Sizes;
use super::embedding::EmbedJob;
use super::request::check_prompt;
use super::sequence::Job;
use super::shared::{Shared, Ticket};
use super::worker::{Command, Worker};
use super::{EngineConfig, EngineStats, EngineStatus, GenerateRequest, Generation};
use crate::error::LlamaError;
use crate::weights::LlamaWeights;

/// A running engine. Clones share it.
///
/// Dropping the last clone stops it as [`stop`](Self::stop) does, and so blocks for at most one decode step; requests
/// that are still running end with [`LlamaError::Stopped`].
#[derive(Clone, Debug)]
pub struct Engine(Arc<Handle>);

#[derive(Debug)]
struct Handle {
    weights: LlamaWeights,
    sizes: Sizes,
    shared: Arc<Shared>,
    commands: Sender<Command>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Engine {
    /// Starts a worker over `weights`. This blocks while the cache is set aside: call it off an async reactor.
    ///
    /// # Errors
    /// [`LlamaError::InvalidParameter`] where the configuration doesn't fit the model, [`LlamaError::Context`] where there
    /// is too little memory.
    pub fn start(weights: &LlamaWeights, config: &EngineConfig) -> Result<Self, LlamaError> {
        let sizes = Sizes::resolve(config, weights)?;
        let shared = Arc::new(Shared::default());
        let (commands, inbox) = channel();
        let (ready, started) = channel();
        let thread = std::thread::Builder::new().name("synapse-llama".to_owned()).spawn({
            let (weights, shared) = (weights.clone(), Arc::clone(&shared));
            move || work(&weights, sizes, &shared, inbox, &ready)
        });
        let refused = |reason: String| {
            let (parallel, context_length) = (sizes.parallel, sizes.context_length);
            LlamaError::Context { parallel, context_length, reason }
        };
        let thread = thread.map_err(|error| refused(format!("the worker thread did not start ({error})")))?;
        started.recv().unwrap_or_else(|_| Err(refused("the worker thread died at its start".to_owned())))?;
        let (weights, thread) = (weights.clone(), Mutex::new(Some(thread)));
        Ok(Self(Arc::new(Handle { weights, sizes, shared, commands, thread })))
    }

    /// Starts to write a reply. Returns at once; the reply comes through the [`Generation`], whose drop cancels it.
    ///
    /// # Errors
    /// [`LlamaError::InvalidParameter`], [`LlamaError::PromptTooLong`] or [`LlamaError::MaxTokensTooLarge`] where the
    /// request can't be served, [`LlamaError::Overloaded`] where the queue is full, [`LlamaError::Stopped`] and
    /// [`LlamaError::Failed`] where the engine is gone.
    pub fn generate(&self, request: GenerateRequest) -> Result<Generation, LlamaError> {
        request.check(&self.0.weights, &self.0.sizes)?;
        let ticket = self.admit()?;
        let (events, receiver) = unbounded_channel();
        self.send(Command::Generate(Box::new(Job { request, events, ticket })))?;
        Ok(Generation::new(receiver, Arc::clone(&self.0.shared)))
    }

    /// Embeds a text: the mean of the model's final states over its tokens, scaled to length 1, of
    /// [`LlamaWeights::embedding_width`] numbers. The same tokens give the same bits.
    ///
    /// Texts are embedded one after the other, a piece between two decode steps, so replies go on meanwhile. The first
    /// one sets aside a cache of one more sequence. Dropping the future cancels it.
    ///
    /// # Errors
    /// As [`generate`](Self::generate).
    pub async fn embed(&self, tokens: Vec<u32>) -> Result<Vec<f32>, LlamaError> {
        check_prompt(&tokens, &self.0.weights, self.0.sizes.context_length)?;
        let ticket = self.admit()?;
        let (reply, answer) = oneshot::channel();
        self.send(Command::Embed(EmbedJob { tokens, reply, ticket }))?;
        answer.await.unwrap_or_else(|_closed| Err(self.0.shared.why_ended()))
    }

    /// The weights that it runs over.
    pub fn weights(&self) -> &LlamaWeights {
        &self.0.weights
    }

    /// Tokens that prompt and reply of one request may have together.
    pub fn context_length(&self) -> u32 {
        self.0.sizes.context_length
    }

    /// How many requests are worked on at once.
    pub fn parallel(&self) -> usize {
        self.0.sizes.parallel
    }

    /// How many threads compute.
    pub fn threads(&self) -> usize {
        usize::try_from(self.0.sizes.threads).unwrap_or(1)
    }

    /// What it has done and is doing.
    pub fn stats(&self) -> EngineStats {
        self.0.shared.stats()
    }

    /// Whether it answers.
    pub fn status(&self) -> EngineStatus {
        self.0.shared.status()
    }

    /// Stops it: new requests are refused, running ones end with [`LlamaError::Stopped`] after the current decode step,
    /// and the thread is gone when this returns. Blocks for at most that step. Calling it again does nothing.
    pub fn stop(&self) {
        self.0.stop();
    }

    fn admit(&self) -> Result<Ticket, LlamaError> {
        if self.status() != EngineStatus::Running {
            return Err(self.0.shared.why_ended());
        }
        let Sizes { parallel, queue, .. } = self.0.sizes;
        self.0.shared.admit(parallel + queue).ok_or(LlamaError::Overloaded { parallel, queue })
    }

    fn send(&self, command: Command) -> Result<(), LlamaError> {
        self.0.commands.send(command).map_err(|_gone| self.0.shared.why_ended())
    }
}

impl Handle {
    fn stop(&self) {
        self.shared.ask_to_stop();
        // A worker that is gone needs no waking.
        let _gone = self.commands.send(Command::Wake);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // A panic was caught inside the thread and is its status.
            let _ended = thread.join();
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The worker thread's whole life. A panic ends as a status that everyone sees, not as a silence.
fn work(
    weights: &LlamaWeights,
    sizes: Sizes,
    shared: &Arc<Shared>,
    inbox: Receiver<Command>,
    ready: &Sender<Result<(), LlamaError>>,
) {
    // `shared` holds only atomics and a lock that is never held across a panic.
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        match Worker::new(weights, sizes, Arc::clone(shared), inbox) {
            Ok(worker) => {
                let _starter_left = ready.send(Ok(()));
                worker.run();
            }
            Err(error) => {
                let _starter_left = ready.send(Err(error));
            }
        }
    }));
    let status = match outcome {
        Ok(()) => EngineStatus::Stopped,
        Err(panic) => {
            let reason = panic.downcast_ref::<&str>().map(|&text| text.to_owned());
            let reason = reason.or_else(|| panic.downcast_ref::<String>().cloned());
            EngineStatus::Failed(format!("the worker panicked: {}", reason.as_deref().unwrap_or("no reason given")))
        }
    };
    shared.end(status);
}
