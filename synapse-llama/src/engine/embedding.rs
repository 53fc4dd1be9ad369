use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::vec;

use llama_cpp_2::context::LlamaContext;
use llama_cpp_2::context::params::{LlamaContextParams, LlamaPoolingType};
use llama_cpp_2::llama_batch::LlamaBatch;
use llama_cpp_2::token::LlamaToken;
use tokio::sync::oneshot;

use super::config::Sizes;
use super::shared::{Shared, Ticket};
use crate::backend;
use crate::error::LlamaError;
use crate::weights::LlamaWeights;

/// Tokens read in one turn. llama.cpp computes the logits of each beside its state: 128 rows of the largest vocabularies are 134 MB.
const CHUNK: u32 = 128;

/// Texts to embed, checked and taken.
#[derive(Debug)]
pub(super) struct EmbedJob {
    texts: vec::IntoIter<Vec<u32>>,
    vectors: Vec<Vec<f32>>,
    reply: oneshot::Sender<Result<Vec<Vec<f32>>, LlamaError>>,
    ticket: Ticket,
}

impl EmbedJob {
    pub(super) fn new(
        texts: Vec<Vec<u32>>,
        reply: oneshot::Sender<Result<Vec<Vec<f32>>, LlamaError>>,
        ticket: Ticket,
    ) -> Self {
        Self {
            vectors: Vec::with_capacity(texts.len()),
            texts: texts.into_iter(),
            reply,
            ticket,
        }
    }
}

/// Embeds one text at a time, a chunk a turn, in a context of its own that is made when the first text comes. A request
/// with more texts goes to the back of the queue after each.
///
/// The final states of all tokens are averaged here rather than by llama.cpp, whose pooling needs the whole text in one
/// batch. One text at a time in fixed chunks is also what makes the same text give the same bits.
#[derive(Debug)]
pub(super) struct Embedder<'m> {
    weights: &'m LlamaWeights,
    sizes: Sizes,
    shared: Arc<Shared>,
    context: Option<(LlamaContext<'m>, LlamaBatch<'static>)>,
    waiting: VecDeque<EmbedJob>,
    current: Option<Running>,
}

#[derive(Debug)]
struct Running {
    job: EmbedJob,
    tokens: Vec<u32>,
    read: usize,
    sum: Vec<f64>,
}

impl<'m> Embedder<'m> {
    pub(super) fn new(weights: &'m LlamaWeights, sizes: Sizes, shared: Arc<Shared>) -> Self {
        Self {
            weights,
            sizes,
            shared,
            context: None,
            waiting: VecDeque::new(),
            current: None,
        }
    }

    pub(super) fn push(&mut self, job: EmbedJob) {
        self.waiting.push_back(job);
    }

    pub(super) fn is_idle(&self) -> bool {
        self.current.is_none() && self.waiting.is_empty()
    }

    /// Reads one chunk of the text in hand, or of the next one.
    pub(super) fn turn(&mut self) {
        let Some(mut running) = self.take_current() else {
            return;
        };
        match self.read_chunk(&mut running) {
            Ok(()) if running.read < running.tokens.len() => self.current = Some(running),
            Ok(()) => self.text_done(running.job, unit_length(&running.sum)),
            Err(error) => self.finish(running.job, Some(error)),
        }
    }

    fn text_done(&mut self, mut job: EmbedJob, vector: Result<Vec<f32>, LlamaError>) {
        match vector {
            Ok(vector) => job.vectors.push(vector),
            Err(error) => return self.finish(job, Some(error)),
        }
        if job.texts.len() == 0 {
            self.finish(job, None);
        } else {
            self.waiting.push_back(job);
        }
    }

    fn take_current(&mut self) -> Option<Running> {
        if let Some(running) = self.current.take() {
            if !running.job.reply.is_closed() {
                return Some(running);
            }
            self.shared.active.fetch_sub(1, SeqCst);
            Shared::count(&self.shared.cancelled, 1);
        }
        while let Some(mut job) = self.waiting.pop_front() {
            let begun = !job.vectors.is_empty();
            if job.reply.is_closed() {
                if begun {
                    self.shared.active.fetch_sub(1, SeqCst);
                }
                Shared::count(&self.shared.cancelled, 1);
                continue;
            }
            if !begun {
                Shared::count(&self.shared.started, 1);
                self.shared.active.fetch_add(1, SeqCst);
            }
            return Some(Running {
                // Jobs without texts are refused, and those without texts left are not put back.
                tokens: job.texts.next().unwrap_or_default(),
                job,
                read: 0,
                sum: vec![0.0; self.weights.embedding_width()],
            });
        }
        None
    }

    fn read_chunk(&mut self, running: &mut Running) -> Result<(), LlamaError> {
        if self.context.is_none() {
            self.context = Some(self.new_context()?);
        }
        let Some((context, batch)) = &mut self.context else {
            return Ok(());
        };
        if running.read == 0 {
            context
                .clear_kv_cache_seq(None, None, None)
                .map_err(|error| LlamaError::Decode(error.to_string()))?;
        }
        let unread = running.tokens.get(running.read..).unwrap_or_default();
        let chunk = unread.get(..CHUNK as usize).unwrap_or(unread);
        batch.clear();
        for (position, &token) in (running.read..).zip(chunk) {
            let position = i32::try_from(position).map_err(|error| LlamaError::Decode(error.to_string()))?;
            let added = batch.add(LlamaToken::new(token.cast_signed()), position, &[0], true);
            added.map_err(|error| LlamaError::Decode(error.to_string()))?;
        }
        context
            .decode(batch)
            .map_err(|error| LlamaError::Decode(error.to_string()))?;
        for row in 0..batch.n_tokens() {
            let states = context
                .embeddings_ith(row)
                .map_err(|error| LlamaError::Decode(error.to_string()))?;
            for (sum, &state) in running.sum.iter_mut().zip(states) {
                *sum += f64::from(state);
            }
        }
        running.read += chunk.len();
        Shared::count(&self.shared.embedded_tokens, chunk.len());
        Ok(())
    }

    fn new_context(&self) -> Result<(LlamaContext<'m>, LlamaBatch<'static>), LlamaError> {
        let params = LlamaContextParams::default()
            .with_n_ctx(self.sizes.cells(1).and_then(NonZeroU32::new))
            .with_n_batch(CHUNK)
            .with_n_ubatch(CHUNK)
            .with_n_seq_max(1)
            .with_n_threads(self.sizes.threads)
            .with_n_threads_batch(self.sizes.threads)
            .with_embeddings(true)
            .with_pooling_type(LlamaPoolingType::None)
            .with_no_perf(true);
        let context =
            backend::new_context(self.weights.model(), params).ok_or_else(|| LlamaError::Context {
                parallel: 1,
                context_length: self.sizes.context_length,
                reason: "llama.cpp refused a context for embeddings".to_owned(),
            })?;
        Ok((context, LlamaBatch::new(CHUNK as usize, 1)))
    }

    fn finish(&self, job: EmbedJob, error: Option<LlamaError>) {
        let counter = if error.is_none() {
            &self.shared.finished
        } else {
            &self.shared.failed
        };
        Shared::count(counter, 1);
        self.shared.active.fetch_sub(1, SeqCst);
        drop(job.ticket);
        let _left = job.reply.send(error.map_or(Ok(job.vectors), Err));
    }
}

/// The vector of length 1 in the direction of `sum`: dividing by the number of tokens first would change nothing.
#[expect(
    clippy::cast_possible_truncation,
    reason = "an embedding is floats; the sum is kept in doubles"
)]
fn unit_length(sum: &[f64]) -> Result<Vec<f32>, LlamaError> {
    let length = sum.iter().map(|x| x * x).sum::<f64>().sqrt();
    if !length.is_finite() || length == 0.0 {
        return Err(LlamaError::Decode("the model's states are no numbers".to_owned()));
    }
    Ok(sum.iter().map(|x| (x / length) as f32).collect())
}
