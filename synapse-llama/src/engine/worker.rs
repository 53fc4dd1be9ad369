use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::mpsc::{Receiver, TryRecvError};

use llama_cpp_2::context::LlamaContext;
use llama_cpp_2::context::params::LlamaContextParams;
use llama_cpp_2::llama_batch::{BatchAddError, LlamaBatch};

use super::config::Sizes;
use super::embedding::{EmbedJob, Embedder};
use super::sequence::{Job, Next, Sequence};
use super::shared::Shared;
use crate::backend;
use crate::error::LlamaError;
use crate::weights::LlamaWeights;

/// What the handles ask of the worker.
#[derive(Debug)]
pub(super) enum Command {
    Generate(Box<Job>),
    Embed(EmbedJob),
    /// Only wakes an idle worker, which then sees that it was asked to stop.
    Wake,
    #[cfg(test)]
    Panic,
}

/// The thread that owns the context.
pub(super) struct Worker<'m> {
    weights: &'m LlamaWeights,
    sizes: Sizes,
    shared: Arc<Shared>,
    commands: Receiver<Command>,
    context: LlamaContext<'m>,
    batch: LlamaBatch<'static>,
    /// One place for each of the context's sequences; the index is llama.cpp's sequence id.
    places: Vec<Option<Sequence>>,
    waiting: VecDeque<Box<Job>>,
    embedder: Embedder<'m>,
}

/// A row of logits that a step computes, and the place that it is for.
#[derive(Clone, Copy)]
struct Row {
    place: usize,
    index: i32,
}

impl<'m> Worker<'m> {
    pub(super) fn new(
        weights: &'m LlamaWeights,
        sizes: Sizes,
        shared: Arc<Shared>,
        commands: Receiver<Command>,
    ) -> Result<Self, LlamaError> {
        let refused = |reason: &str| LlamaError::Context {
            parallel: sizes.parallel,
            context_length: sizes.context_length,
            reason: reason.to_owned(),
        };
        let sequences = u32::try_from(sizes.parallel).map_err(|_| refused("too many sequences"))?;
        let params = LlamaContextParams::default()
            .with_n_ctx(sizes.cells(sizes.parallel).and_then(NonZeroU32::new))
            .with_n_batch(sizes.batch)
            .with_n_ubatch(sizes.batch.min(512))
            .with_n_seq_max(sequences)
            .with_kv_unified(false)
            .with_n_threads(sizes.threads)
            .with_n_threads_batch(sizes.threads)
            .with_no_perf(true);
        let context =
            backend::new_context(weights.model(), params).ok_or_else(|| refused("llama.cpp refused it"))?;
        let embedder = Embedder::new(weights, sizes, Arc::clone(&shared));
        let batch = LlamaBatch::new(sizes.batch as usize, 1);
        let places = (0..sizes.parallel).map(|_| None).collect();
        Ok(Self {
            weights,
            sizes,
            shared,
            commands,
            context,
            batch,
            places,
            waiting: VecDeque::new(),
            embedder,
        })
    }

    /// Works until asked to stop, or until no handle is left.
    pub(super) fn run(mut self) {
        while self.take_commands() {
            self.let_go_of_the_abandoned();
            self.fill_places();
            self.step();
            self.embedder.turn();
        }
        self.stop();
    }

    /// Takes what came, and waits for something to come where there is nothing to do; `false` is the end.
    fn take_commands(&mut self) -> bool {
        while !self.shared.asked_to_stop() {
            let command = match self.commands.try_recv() {
                Ok(command) => command,
                Err(TryRecvError::Empty) if !self.is_idle() => return true,
                Err(TryRecvError::Empty) => match self.commands.recv() {
                    Ok(command) => command,
                    Err(_no_handle_left) => return false,
                },
                Err(TryRecvError::Disconnected) => return false,
            };
            match command {
                Command::Generate(job) => self.waiting.push_back(job),
                Command::Embed(job) => self.embedder.push(job),
                Command::Wake => {}
                #[cfg(test)]
                Command::Panic => panic!("asked to panic"),
            }
        }
        false
    }

    fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.embedder.is_idle() && self.places.iter().all(Option::is_none)
    }

    fn let_go_of_the_abandoned(&mut self) {
        let before = self.waiting.len();
        self.waiting.retain(|job| !job.events.is_closed());
        Shared::count(&self.shared.cancelled, before - self.waiting.len());
        for place in 0..self.places.len() {
            let abandoned = self
                .places
                .get(place)
                .and_then(Option::as_ref)
                .is_some_and(Sequence::is_abandoned);
            if abandoned && self.free(place).is_some() {
                Shared::count(&self.shared.cancelled, 1);
            }
        }
    }

    /// Gives the lowest free places to those who wait longest.
    fn fill_places(&mut self) {
        for place in self.places.iter_mut().filter(|place| place.is_none()) {
            let Some(job) = self.waiting.pop_front() else {
                return;
            };
            *place = Some(Sequence::new(*job, self.sizes.context_length));
            Shared::count(&self.shared.started, 1);
            self.shared.active.fetch_add(1, SeqCst);
        }
    }

    /// Takes a sequence out of its place and its tokens out of the cache.
    fn free(&mut self, place: usize) -> Option<Sequence> {
        let sequence = self.places.get_mut(place)?.take()?;
        self.shared.active.fetch_sub(1, SeqCst);
        // Removing a whole sequence can't fail, and the id fits: it is below `MAX_PARALLEL`.
        let _removed = self
            .context
            .clear_kv_cache_seq(u32::try_from(place).ok(), None, None);
        Some(sequence)
    }

    /// One decode step: every reply's next token, and as much of the prompts as fits.
    fn step(&mut self) {
        self.batch.clear();
        let rows = match self.fill_batch() {
            Ok(rows) => rows,
            Err(error) => return self.fail_all(&error.to_string()),
        };
        if self.batch.n_tokens() == 0 {
            return;
        }
        let decoded = self.context.decode(&mut self.batch);
        Shared::count(&self.shared.decode_steps, 1);
        if let Err(error) = decoded {
            return self.fail_all(&error.to_string());
        }
        for row in rows {
            self.advance(row);
        }
    }

    fn fill_batch(&mut self) -> Result<Vec<Row>, BatchAddError> {
        let mut rows = Vec::with_capacity(self.places.len());
        for (place, sequence) in occupied(&mut self.places) {
            let Some(token) = sequence.pending() else { continue };
            let index = self.batch.n_tokens();
            self.batch
                .add(token, position(sequence.position()), &[position(place)], true)?;
            sequence.mark_fed(1);
            rows.push(Row { place, index });
        }
        let mut readers = occupied(&mut self.places)
            .filter(|(_, sequence)| !sequence.unread_prompt().is_empty())
            .count();
        for (place, sequence) in occupied(&mut self.places) {
            let left = (self.sizes.batch as usize)
                .saturating_sub(usize::try_from(self.batch.n_tokens()).unwrap_or(usize::MAX));
            let unread = sequence.unread_prompt();
            if unread.is_empty() || left == 0 {
                continue;
            }
            // What a short prompt leaves of its share goes to the ones after it.
            let share = left.div_ceil(readers.max(1)).min(unread.len());
            readers = readers.saturating_sub(1);
            let completes = share == unread.len();
            let start = sequence.position();
            for (offset, &token) in unread.iter().take(share).enumerate() {
                let wants_logits = completes && offset + 1 == share;
                if wants_logits {
                    rows.push(Row {
                        place,
                        index: self.batch.n_tokens(),
                    });
                }
                self.batch
                    .add(token, position(start + offset), &[position(place)], wants_logits)?;
            }
            sequence.mark_fed(share);
            Shared::count(&self.shared.prompt_tokens, share);
        }
        Ok(rows)
    }

    fn advance(&mut self, row: Row) {
        let Some(Some(sequence)) = self.places.get_mut(row.place) else {
            return;
        };
        let next = sequence.advance(self.context.get_logits_ith(row.index), self.weights);
        match next {
            Next::Continue => Shared::count(&self.shared.generated_tokens, 1),
            Next::End(reason) => {
                Shared::count(&self.shared.generated_tokens, 1);
                if let Some(sequence) = self.free(row.place) {
                    sequence.finish(reason, &self.shared);
                }
            }
            Next::Fail(error) => {
                if let Some(sequence) = self.free(row.place) {
                    Shared::count(&self.shared.failed, 1);
                    sequence.fail(error);
                }
            }
        }
    }

    /// A failed step leaves the cache in doubt for everyone in it.
    fn fail_all(&mut self, reason: &str) {
        tracing::error!(reason, "a decode step failed");
        for place in 0..self.places.len() {
            if let Some(sequence) = self.free(place) {
                Shared::count(&self.shared.failed, 1);
                sequence.fail(LlamaError::Decode(reason.to_owned()));
            }
        }
    }

    /// Whoever still waits is told; texts to embed learn it from their closed channel.
    fn stop(mut self) {
        for place in 0..self.places.len() {
            if let Some(sequence) = self.free(place) {
                Shared::count(&self.shared.failed, 1);
                sequence.fail(LlamaError::Stopped);
            }
        }
    }
}

fn occupied(places: &mut [Option<Sequence>]) -> impl Iterator<Item = (usize, &mut Sequence)> {
    places
        .iter_mut()
        .enumerate()
        .filter_map(|(place, sequence)| Some((place, sequence.as_mut()?)))
}

/// llama.cpp's number for a position or a sequence; both are below the number of cells, which was checked to fit.
fn position(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}
