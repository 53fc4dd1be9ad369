//! A stack whose every request meets what its plan says.

use std::{panic::resume_unwind, sync::Arc};

use futures_util::{StreamExt, future::join, stream};
use synapse_core::{
    Allowance, AnyNext, ApiKey, Body, Caller, Chunk, Delta, Error, FinishReason, InferenceModule,
    InferenceService, Input, ModelInfo, ModuleCapabilities, ModuleExt, Output, Prompt, Request, Retry, Stack,
    Task, Tokenizer, Usage, from_fn, testkit::Scripted,
};
use synapse_validator::{RateLimitLayer, TokenCountLayer, Tokenizers, ledger::LedgerLayer};
use tower::ServiceBuilder;

use crate::accounting_reference::{ATTEMPTS, End, KEY_PER_DAY, KEY_PER_MONTH, Miner, Plan};

pub(crate) const CALLERS: [&str; 3] = ["alice", "bob", "carol"];

/// SplitMix64: the same run each time.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    pub(crate) fn one_in(&mut self, chances: u64) -> bool {
        self.below(chances) == 0
    }

    pub(crate) fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[usize::try_from(self.below(all.len() as u64)).unwrap()]
    }

    pub(crate) fn plan(&mut self) -> Plan {
        let events: Vec<usize> = (0..self.below(5))
            .map(|_| usize::try_from(self.below(30)).unwrap())
            .collect();
        Plan {
            caller: self.of(&CALLERS),
            model: self.of(&["sold", "sold", "sold", "sold", "free", "unknown"]),
            prompt: usize::try_from(1 + self.below(60)).unwrap(),
            replies: self.of(&[1, 1, 1, 2]),
            events,
            max_tokens: self.of(&[None, Some(1), Some(20), Some(100), Some(400), Some(2_000)]),
            streamed: !self.one_in(4),
            twice: self.one_in(5),
            miner: self.of(&[
                Miner::Answers(0),
                Miner::Answers(0),
                Miner::Answers(0),
                Miner::Answers(0),
                Miner::Answers(2),
                Miner::Answers(ATTEMPTS),
                Miner::Refuses,
                Miner::Hangs,
                Miner::Panics,
                Miner::LayerPanics,
            ]),
            end: self.of(&[
                End::Complete,
                End::Complete,
                End::Complete,
                End::Breaks,
                End::Panics,
            ]),
            claims: self.of(&[None, Some(100), Some(120)]),
        }
    }
}

/// A token a character.
#[derive(Debug)]
struct Characters;

impl Tokenizer for Characters {
    fn name(&self) -> &'static str {
        "characters"
    }

    fn encode(&self, text: &str) -> Result<Vec<u32>, Error> {
        Ok(text.chars().map(u32::from).collect())
    }

    fn decode(&self, tokens: &[u32]) -> Result<String, Error> {
        Ok(tokens.iter().filter_map(|token| char::from_u32(*token)).collect())
    }
}

/// Which attempt it is, of the layer that tries again.
#[derive(Debug, Clone, Copy)]
struct Attempt(u32);

fn scripted() -> Error {
    Error::broken("scripted", "a scripted failure")
}

/// A pool that does as the request's plan says.
fn pool() -> Scripted {
    let models = ["sold", "free", "unknown"];
    let capabilities = ModuleCapabilities::new("pool").with_task(Task::TEXT_COMPLETION);
    let capabilities = models
        .iter()
        .fold(capabilities, |all, model| all.with_model(ModelInfo::new(*model)));
    Scripted::new(|input| async move {
        let plan: Arc<Plan> = input.extensions().get::<Arc<Plan>>().expect("a plan").clone();
        let attempt = input.extensions().get::<Attempt>().expect("an attempt").0;
        match plan.miner {
            Miner::Answers(failures) if attempt < failures => return Err(scripted()),
            Miner::Answers(_) | Miner::LayerPanics => {}
            Miner::Refuses => return Err(Error::invalid("scripted_refusal", "the context is too long")),
            Miner::Hangs => std::future::pending().await,
            Miner::Panics => resume_unwind(Box::new("scripted")),
        }
        Ok(Output::new(body(&plan)))
    })
    .with_capabilities(capabilities)
}

fn body(plan: &Plan) -> Body {
    let replies = plan.replies;
    let events = plan
        .events
        .clone()
        .into_iter()
        .enumerate()
        .map(move |(at, tokens)| {
            let mut delta = Delta::text("x".repeat(tokens));
            delta.index = u32::try_from(at).unwrap() % replies;
            Ok(Chunk::delta(delta))
        });
    let sent: usize = plan.events.iter().sum();
    let mut last = Delta::finish(FinishReason::Stop);
    last.usage = plan.claims.map(|percent| Usage {
        input_tokens: plan.prompt as u64 * percent / 100,
        output_tokens: sent as u64 * percent / 100,
    });
    let end = plan.end;
    let end = stream::once(async move {
        match end {
            End::Complete => Ok(Chunk::delta(last).into_last()),
            End::Breaks => Err(scripted()),
            End::Panics => resume_unwind(Box::new("scripted")),
        }
    });
    Body::new(stream::iter(events).chain(end))
}

/// token count · rate limit · a layer that makes some requests twice · ledger · one that tries again · pool.
pub(crate) fn stack(
    limit: RateLimitLayer,
    ledger: LedgerLayer,
) -> Stack<impl InferenceService, impl InferenceModule> {
    let tokenizers = ["sold", "free", "unknown"]
        .iter()
        .fold(Tokenizers::new(), |all, model| {
            all.with(*model, Arc::new(Characters))
        });
    let twice = from_fn(|input: Input, next: AnyNext| async move {
        if !input.extensions().get::<Arc<Plan>>().expect("a plan").twice {
            return next.run(input).await;
        }
        match join(next.clone().run(input.clone()), next.run(input)).await {
            (Ok(first), _) => Ok(first),
            (Err(_), second) => second,
        }
    });
    let again = from_fn(|mut input: Input, next: AnyNext| async move {
        if input.extensions().get::<Arc<Plan>>().expect("a plan").miner == Miner::LayerPanics {
            resume_unwind(Box::new("scripted"));
        }
        let mut attempt = 0;
        loop {
            input.extensions_mut().insert(Attempt(attempt));
            attempt += 1;
            match next.clone().run(input.clone()).await {
                Err(error) if error.retry() == Retry::Elsewhere && attempt < ATTEMPTS => {}
                answer => return answer,
            }
        }
    });
    pool().with(
        ServiceBuilder::new()
            .layer(TokenCountLayer::new(tokenizers))
            .layer(limit)
            .layer(twice)
            .layer(ledger)
            .layer(again),
    )
}

pub(crate) fn input(plan: &Plan) -> Input {
    let prompt = Prompt::Texts(vec!["x".repeat(plan.prompt)]);
    let request = Request::new(plan.model, prompt).with_params(|params| {
        (params.n, params.max_tokens, params.stream) = (plan.replies, plan.max_tokens, plan.streamed);
    });
    let mut input = Input::from_request(Task::TEXT_COMPLETION, request);
    input.extensions_mut().insert(Caller::new(plan.caller));
    if plan.caller == "alice" {
        let mut allowance = Allowance::default();
        allowance.spend_per_day = Some(KEY_PER_DAY);
        allowance.spend_per_month = Some(KEY_PER_MONTH);
        input.extensions_mut().insert(ApiKey::new("alice-1", allowance));
    }
    input.extensions_mut().insert(Arc::new(plan.clone()));
    input
}
