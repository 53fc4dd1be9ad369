use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use tokio::sync::{mpsc::unbounded_channel, oneshot};

use super::config::Sizes;
use super::embedding::EmbedJob;
use super::request::check_texts;
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
        let thread = std::thread::Builder::new()
            .name("synapse-llama".to_owned())
            .spawn({
                let (weights, shared) = (weights.clone(), Arc::clone(&shared));
                move || work(&weights, sizes, &shared, inbox, &ready)
            });
        let refused = |reason: String| {
            let (parallel, context_length) = (sizes.parallel, sizes.context_length);
            LlamaError::Context {
                parallel,
                context_length,
                reason,
            }
        };
        let thread = thread.map_err(|error| refused(format!("the worker thread did not start ({error})")))?;
        started
            .recv()
            .unwrap_or_else(|_| Err(refused("the worker thread died at its start".to_owned())))?;
        let (weights, thread) = (weights.clone(), Mutex::new(Some(thread)));
        Ok(Self(Arc::new(Handle {
            weights,
            sizes,
            shared,
            commands,
            thread,
        })))
    }

    /// Starts to write a reply. Returns at once; the reply comes through the [`Generation`], whose drop cancels it.
    ///
    /// # Errors
    /// [`LlamaError::InvalidParameter`] or [`LlamaError::PromptTooLong`] where the
    /// request can't be served, [`LlamaError::Overloaded`] where the queue is full, [`LlamaError::Stopped`] and
    /// [`LlamaError::Failed`] where the engine is gone.
    pub fn generate(&self, request: GenerateRequest) -> Result<Generation, LlamaError> {
        request.check(&self.0.weights, &self.0.sizes)?;
        let ticket = self.admit()?;
        let (events, receiver) = unbounded_channel();
        self.send(Command::Generate(Box::new(Job {
            request,
            events,
            ticket,
        })))?;
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
        let vectors = self.embed_all(vec![tokens]).await?;
        vectors
            .into_iter()
            .next()
            .ok_or_else(|| self.0.shared.why_ended())
    }

    /// Embeds several texts as one request, each as [`embed`](Self::embed) does: they are taken together or refused
    /// together, and the vectors come together, in order. Requests take turns text by text.
    ///
    /// All texts together may have 32 times as many tokens as a context holds.
    ///
    /// # Errors
    /// As [`generate`](Self::generate); [`LlamaError::InvalidParameter`] where there is no text, or there are too many
    /// tokens.
    pub async fn embed_all(&self, texts: Vec<Vec<u32>>) -> Result<Vec<Vec<f32>>, LlamaError> {
        check_texts(&texts, &self.0.weights, self.0.sizes.context_length)?;
        let ticket = self.admit()?;
        let (reply, answer) = oneshot::channel();
        self.send(Command::Embed(EmbedJob::new(texts, reply, ticket)))?;
        answer
            .await
            .unwrap_or_else(|_closed| Err(self.0.shared.why_ended()))
    }

    /// Checks a request as [`generate`](Self::generate) does, and starts nothing.
    ///
    /// # Errors
    /// Those of [`generate`](Self::generate) that are the request's own fault.
    pub fn check(&self, request: &GenerateRequest) -> Result<(), LlamaError> {
        request.check(&self.0.weights, &self.0.sizes)
    }

    /// Whether a request would be refused now because the queue is full.
    pub fn is_full(&self) -> bool {
        self.0.shared.is_full(self.places())
    }

    /// Says early what [`generate`](Self::generate) would say of the queue, before time is spent on a prompt.
    ///
    /// # Errors
    /// [`LlamaError::Overloaded`] where it is full.
    pub fn check_room(&self) -> Result<(), LlamaError> {
        match self.is_full() {
            true => Err(self.0.shared.refuse(self.overloaded())),
            false => Ok(()),
        }
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

    /// The size of its cache in bytes, from the model's shape at two bytes a number; the context for embeddings, made
    /// when the first text comes, adds that of one sequence.
    pub fn cache_bytes(&self) -> u64 {
        self.0.sizes.cache_bytes(&self.0.weights)
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
        let ticket = self.0.shared.admit(self.places());
        ticket.ok_or_else(|| self.0.shared.refuse(self.overloaded()))
    }

    /// How many requests it takes at once, running and waiting.
    fn places(&self) -> usize {
        self.0.sizes.parallel.saturating_add(self.0.sizes.queue)
    }

    fn overloaded(&self) -> LlamaError {
        LlamaError::Overloaded {
            parallel: self.0.sizes.parallel,
            queue: self.0.sizes.queue,
        }
    }

    fn send(&self, command: Command) -> Result<(), LlamaError> {
        self.0
            .commands
            .send(command)
            .map_err(|_gone| self.0.shared.why_ended())
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
            EngineStatus::Failed(format!(
                "the worker panicked: {}",
                reason.as_deref().unwrap_or("no reason given")
            ))
        }
    };
    shared.end(status);
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    /// As the integration tests find it; a test without it fails rather than pass unseen.
    fn model_path() -> PathBuf {
        let folder = |name| std::env::var_os(name).map(PathBuf::from);
        let cache =
            || folder("XDG_CACHE_HOME").unwrap_or_else(|| folder("HOME").unwrap_or_default().join(".cache"));
        let path = folder("SYNAPSE_TEST_MODEL")
            .unwrap_or_else(|| cache().join("synapse/models/SmolLM2-135M-Instruct.Q4_1.gguf"));
        assert!(
            path.exists(),
            "no model at {}: run scripts/fetch-model, or set SYNAPSE_TEST_MODEL",
            path.display()
        );
        path
    }

    #[tokio::test]
    async fn a_panic_of_the_worker_reaches_everyone_who_waits() {
        let weights = LlamaWeights::load(model_path()).expect("the model loads");
        let config = EngineConfig {
            parallel: 1,
            context_length: Some(256),
            ..EngineConfig::default()
        };
        let engine = Engine::start(&weights, &config).expect("an engine starts");
        let mut running = engine
            .generate(GenerateRequest::new(vec![5; 8]))
            .expect("it is taken");
        let mut waiting = engine
            .generate(GenerateRequest::new(vec![5; 8]))
            .expect("it waits");
        engine.send(Command::Panic).expect("the worker lives");
        for generation in [&mut running, &mut waiting] {
            let mut last = None;
            while let Some(event) = generation.next().await {
                last = Some(event);
            }
            assert!(matches!(last, Some(Err(LlamaError::Failed(_)))), "{last:?}");
        }
        engine.stop();
        assert!(matches!(engine.status(), EngineStatus::Failed(reason) if reason.contains("asked to panic")));
        assert!(matches!(
            engine.generate(GenerateRequest::new(vec![5])),
            Err(LlamaError::Failed(_))
        ));
        assert!(matches!(engine.embed(vec![5]).await, Err(LlamaError::Failed(_))));
    }
}
