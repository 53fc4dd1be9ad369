use std::sync::Arc;

use llama_cpp_2::token::LlamaToken;
use tokio::sync::mpsc::UnboundedSender;

use super::logprobs;
use super::request::GenerateRequest;
use super::sampling::Sampler;
use super::shared::{Shared, Ticket};
use super::stream::GenerationEvent;
use super::text::{Released, ReplyText};
use crate::error::LlamaError;
use crate::weights::LlamaWeights;
use synapse_core::{Alternative, FinishReason, Logprobs, Token, Usage};

/// A request that was checked and taken, and where its events go.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) request: GenerateRequest,
    pub(super) events: UnboundedSender<Result<GenerationEvent, LlamaError>>,
    pub(super) ticket: Ticket,
}

/// A request that holds one of the context's sequences.
#[derive(Debug)]
pub(super) struct Sequence {
    prompt: Vec<LlamaToken>,
    /// How many tokens are in the cache: also the position of the next one.
    fed: usize,
    /// The chosen token that the next step feeds, once the prompt is in.
    pending: Option<LlamaToken>,
    sampler: Sampler,
    text: ReplyText,
    top_logprobs: Option<u8>,
    chosen: usize,
    most: usize,
    events: UnboundedSender<Result<GenerationEvent, LlamaError>>,
    ticket: Ticket,
}

/// Whether a sequence goes on.
#[derive(Debug)]
pub(super) enum Next {
    Continue,
    End(FinishReason),
    Fail(LlamaError),
}

impl Sequence {
    pub(super) fn new(job: Job, context_length: u32) -> Self {
        let Job {
            request,
            events,
            ticket,
        } = job;
        let room = (context_length as usize).saturating_sub(request.prompt.len());
        let asked = request
            .max_tokens
            .map_or(usize::MAX, |max_tokens| max_tokens as usize);
        Self {
            // The request was checked: every id is in the vocabulary, whose size is an `i32`.
            prompt: request
                .prompt
                .iter()
                .map(|&id| LlamaToken::new(id.cast_signed()))
                .collect(),
            fed: 0,
            pending: None,
            sampler: Sampler::new(request.sampling),
            text: ReplyText::new(request.stop),
            top_logprobs: request.top_logprobs,
            chosen: 0,
            most: room.min(asked),
            events,
            ticket,
        }
    }

    /// Whether the caller left.
    pub(super) fn is_abandoned(&self) -> bool {
        self.events.is_closed()
    }

    /// The position of the next token that is fed.
    pub(super) fn position(&self) -> usize {
        self.fed
    }

    /// The part of the prompt that isn't in the cache yet.
    pub(super) fn unread_prompt(&self) -> &[LlamaToken] {
        self.prompt.get(self.fed..).unwrap_or_default()
    }

    /// The chosen token that the next step feeds.
    pub(super) fn pending(&self) -> Option<LlamaToken> {
        self.pending
    }

    /// Notes that the next `count` tokens were put into a batch.
    pub(super) fn mark_fed(&mut self, count: usize) {
        self.fed += count;
        self.pending = None;
    }

    /// Chooses the next token from the logits of the last one, and sends what is decided of the text.
    pub(super) fn advance(&mut self, logits: &[f32], weights: &LlamaWeights) -> Next {
        let choice = self.sampler.choose(logits);
        let Some((id, token)) = choice.and_then(|id| Some((id, weights.token(id)?))) else {
            return Next::Fail(LlamaError::Decode("no token has a probability".to_owned()));
        };
        if weights.ends_reply(id) {
            return Next::End(FinishReason::Stop);
        }
        self.chosen += 1;
        let described = self.describe(id, token, logits, weights);
        let released = self.text.push(&weights.text_of(token), described);
        let stopped = released.stopped;
        self.send(released);
        if stopped {
            Next::End(FinishReason::Stop)
        } else if self.chosen >= self.most {
            Next::End(FinishReason::Length)
        } else {
            self.pending = Some(token);
            Next::Continue
        }
    }

    fn describe(&self, id: u32, token: LlamaToken, logits: &[f32], weights: &LlamaWeights) -> Token {
        let described = Token::new(id, weights.bytes_of(token));
        let Some(top) = self.top_logprobs else {
            return described;
        };
        let read = logprobs::of(logits, id, usize::from(top));
        let top = read.top.into_iter().filter_map(|(id, logprob)| {
            weights
                .token(id)
                .map(|token| Alternative::new(id, weights.bytes_of(token), logprob))
        });
        described.with_logprobs(Logprobs::new(read.chosen, top.collect()))
    }

    fn send(&self, released: Released) {
        if released.text.is_empty() && released.tokens.is_empty() {
            return;
        }
        let event = GenerationEvent::Text {
            text: released.text,
            tokens: released.tokens,
        };
        // A caller that left is noticed before the next step.
        let _left = self.events.send(Ok(event));
    }

    /// Sends the rest and the end. The place in the queue is given back first: who reads the end may ask again at once.
    pub(super) fn finish(mut self, reason: FinishReason, shared: &Arc<Shared>) {
        // Empty after a stop text.
        let rest = self.text.finish();
        self.send(rest);
        let usage = Usage {
            input_tokens: self.prompt.len() as u64,
            output_tokens: self.chosen as u64,
        };
        Shared::count(&shared.finished, 1);
        drop(self.ticket);
        let _left = self.events.send(Ok(GenerationEvent::End { reason, usage }));
    }

    /// Ends with an error.
    pub(super) fn fail(self, error: LlamaError) {
        drop(self.ticket);
        let _left = self.events.send(Err(error));
    }
}
