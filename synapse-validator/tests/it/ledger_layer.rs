//! Every request has one row and the right charge, however it ends.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::{StreamExt, stream};
use synapse_core::{
    AnyNext, Attached, Body, Caller, Chunk, Delta, Error, FinishReason, InferenceModule, Input, Message,
    MetricsData, Micros, ModuleExt, NodeId, Output, Prompt, Request, Retry, Task, Usage, from_fn,
    testkit::Scripted,
};
use synapse_validator::{
    billing::{Price, PriceBook},
    ledger::{Ledger, LedgerLayer, Settings, TopUp},
};
use tempfile::TempDir;
use tokio::time::timeout;
use tower::ServiceBuilder;

/// A micro a token of the prompt, and ten a token of the reply.
const PROMPT_PRICE: Micros = Micros(1_000_000);
const REPLY_PRICE: Micros = Micros(10_000_000);
/// `user` and `hello`, at four bytes a token.
pub(crate) const PROMPT: u64 = 3;
const PAID_IN: Micros = Micros(10_000);

/// A ledger in which alice has a balance.
pub(crate) struct Books {
    pub(crate) ledger: Ledger,
    pub(crate) layer: LedgerLayer,
    _dir: TempDir,
}

pub(crate) fn prices() -> PriceBook {
    PriceBook::flat(Price::per_million(PROMPT_PRICE, REPLY_PRICE))
}

pub(crate) fn books() -> Books {
    let dir = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(dir.path(), Settings::default()).unwrap();
    top_up(&ledger, "alice", PAID_IN, "first");
    Books {
        layer: LedgerLayer::new(ledger.clone(), prices()),
        ledger,
        _dir: dir,
    }
}

pub(crate) fn top_up(ledger: &Ledger, caller: &str, amount: Micros, operation: &str) {
    let top_up = TopUp::new(operation.into(), 0, caller, amount);
    ledger.top_up(&top_up).unwrap();
}

pub(crate) fn ask(max_tokens: u32) -> Input {
    let mut input = anonymous();
    input.set_max_tokens(max_tokens).unwrap();
    input.extensions_mut().insert(Caller::new("alice"));
    input
}

pub(crate) fn anonymous() -> Input {
    asked(true)
}

fn asked(streamed: bool) -> Input {
    let prompt = Prompt::Messages(vec![Message::user("hello")]);
    let request = Request::new("scripted", prompt).with_params(|params| params.stream = streamed);
    Input::from_request(Task::CHAT, request)
}

fn word(text: &str) -> Result<Chunk, Error> {
    Ok(Chunk::delta(Delta::text(text)))
}

fn end() -> Result<Chunk, Error> {
    Ok(Chunk::delta(Delta::finish(FinishReason::Stop)).into_last())
}

fn broken() -> Error {
    Error::broken("scripted", "a scripted failure")
}

/// A module that answers `chunks`.
fn saying(chunks: Vec<Result<Chunk, Error>>) -> Scripted {
    Scripted::new(move |_| {
        let chunks = chunks.clone();
        async move {
            let mut body = Body::new(stream::iter(chunks));
            body.peek().await?;
            let mut output = Output::new(body);
            output.head = output.head.with_served_by(NodeId::from("miner-1"));
            Ok(output)
        }
    })
}

/// Two words, of two tokens each.
pub(crate) fn two_words() -> Scripted {
    saying(vec![word("12345678"), word("12345678"), end()])
}

impl Books {
    pub(crate) fn metric(&self, name: &'static str, labels: &[(&'static str, &str)]) -> u64 {
        let mut metrics = MetricsData::default();
        self.layer.metrics(&mut metrics);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "small numbers"
        )]
        let value = metrics.get(name, labels).unwrap_or(0.0) as u64;
        value
    }

    /// What alice was charged; checks that nothing is open or held.
    pub(crate) fn charged(&self) -> u64 {
        assert_eq!(
            (self.metric("ledger.open", &[]), self.metric("ledger.held", &[])),
            (0, 0)
        );
        let account = self.ledger.account(&"alice".into()).expect("she paid in");
        assert_eq!(account.charged.0, self.metric("ledger.charged", &[]));
        account.charged.0
    }

    /// Rows by outcome.
    pub(crate) fn rows(&self, outcome: &str) -> u64 {
        self.metric("ledger.rows", &[("outcome", outcome)])
    }

    /// All rows.
    pub(crate) fn all_rows(&self) -> u64 {
        ["complete", "broken", "left", "failed", "interrupted"]
            .iter()
            .map(|outcome| self.rows(outcome))
            .sum()
    }

    fn check(&self, outcome: &str, charge: u64) {
        assert_eq!((self.rows(outcome), self.all_rows()), (1, 1), "{outcome}");
        assert_eq!(self.charged(), charge, "{outcome}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_complete_reply_costs_its_prompt_and_its_text() {
    let books = books();
    let stack = two_words().with(books.layer.clone());
    let mut output = stack.run_inference(ask(100)).await.unwrap();
    assert_eq!(books.metric("ledger.held", &[]), PROMPT + 1_000);
    assert_eq!(books.metric("ledger.open", &[]), 1);
    while let Some(chunk) = output.body.next().await {
        if chunk.unwrap().is_last() {
            books.check("complete", PROMPT + 40);
        }
    }
    books.check("complete", PROMPT + 40);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_pays_for_what_it_got() {
    for (read, charge) in [(0, 0), (1, PROMPT + 20), (2, PROMPT + 40)] {
        let books = books();
        let stack = two_words().with(books.layer.clone());
        let mut output = stack.run_inference(ask(100)).await.unwrap();
        for _ in 0..read {
            output.body.next().await.unwrap().unwrap();
        }
        drop(output);
        books.check("left", charge);
    }
}

#[tokio::test(start_paused = true)]
async fn a_reply_that_is_to_come_at_once_costs_nothing_before_its_end() {
    for (chunks, read, outcome) in [
        (vec![word("12345678"), Err(broken())], 2, "broken"),
        (vec![word("12345678"), end()], 1, "left"),
    ] {
        let books = books();
        let stack = saying(chunks).with(books.layer.clone());
        let mut output = stack.run_inference(asked(false)).await.unwrap();
        for _ in 0..read {
            let _ = output.body.next().await.unwrap();
        }
        drop(output);
        books.check(outcome, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_before_the_head_pays_nothing() {
    let books = books();
    let stack = Scripted::new(|_| std::future::pending()).with(books.layer.clone());
    let waited = timeout(Duration::from_millis(10), stack.run_inference(ask(100))).await;
    assert!(waited.is_err());
    books.check("left", 0);
}

#[tokio::test(start_paused = true)]
async fn a_reply_that_breaks_costs_what_was_handed_on() {
    let books = books();
    let stack = saying(vec![word("12345678"), Err(broken())]).with(books.layer.clone());
    let output = stack.run_inference(ask(100)).await.unwrap();
    assert_eq!(output.body.count().await, 2);
    books.check("broken", PROMPT + 20);
}

#[tokio::test(start_paused = true)]
async fn a_failure_before_the_first_content_costs_nothing() {
    for error in [
        broken(),
        Error::invalid("scripted", "the context is too long"),
        Error::broken("Not A Code, but what a miner wrote", "a scripted failure"),
    ] {
        let books = books();
        let stack = saying(vec![Err(error)]).with(books.layer.clone());
        stack.run_inference(ask(100)).await.unwrap_err();
        books.check("failed", 0);
    }
    // A module that does not look ahead, and a role before any content.
    let books = books();
    let stack = Scripted::new(|_| async {
        let role = Chunk::delta(Delta::default());
        Ok(Output::new(Body::new(stream::iter([Ok(role), Err(broken())]))))
    })
    .with(books.layer.clone());
    let output = stack.run_inference(ask(100)).await.unwrap();
    assert_eq!(output.body.count().await, 2);
    books.check("failed", 0);
}

#[tokio::test(start_paused = true)]
async fn a_panic_costs_what_was_handed_on() {
    let books = books();
    let layer = from_fn(|_: Input, _: AnyNext| async { panic!("scripted") });
    let stack = two_words().with(ServiceBuilder::new().layer(books.layer.clone()).layer(layer));
    let error = stack.run_inference(ask(100)).await.unwrap_err();
    assert_eq!(error.code(), "module_panicked");
    books.check("failed", 0);

    let books = self::books();
    let stack = Scripted::new(|_| async {
        let chunks = stream::iter([word("12345678")]).chain(stream::once(async { panic!("scripted") }));
        Ok(Output::new(Body::new(chunks)))
    })
    .with(books.layer.clone());
    let output = stack.run_inference(ask(100)).await.unwrap();
    assert_eq!(output.body.count().await, 2);
    books.check("broken", PROMPT + 20);
}

#[tokio::test(start_paused = true)]
async fn retries_inside_are_one_request_and_outside_two() {
    fn flaky() -> Scripted {
        let tries = Arc::new(AtomicUsize::new(0));
        Scripted::new(move |_| {
            let first = tries.fetch_add(1, Ordering::Relaxed) < 2;
            async move {
                if first {
                    return Err(broken());
                }
                Ok(Output::new(Body::new(stream::iter([word("12345678"), end()]))))
            }
        })
    }
    let again = from_fn(|input: Input, next: AnyNext| async move {
        loop {
            match next.clone().run(input.clone()).await {
                Err(error) if error.retry() == Retry::Elsewhere => {}
                answer => return answer,
            }
        }
    });
    let books = books();
    let stack = flaky().with(
        ServiceBuilder::new()
            .layer(books.layer.clone())
            .layer(again.clone()),
    );
    stack.run_inference(ask(100)).await.unwrap().body.count().await;
    books.check("complete", PROMPT + 20);

    let books = self::books();
    let stack = flaky().with(ServiceBuilder::new().layer(again).layer(books.layer.clone()));
    stack.run_inference(ask(100)).await.unwrap().body.count().await;
    assert_eq!(
        (books.rows("failed"), books.rows("complete"), books.all_rows()),
        (2, 1, 3)
    );
    assert_eq!(books.charged(), PROMPT + 20);
}

#[tokio::test(start_paused = true)]
async fn of_two_attempts_outside_the_one_that_is_dropped_costs_nothing() {
    let books = books();
    let hedge = from_fn(|input: Input, next: AnyNext| async move {
        let (first, second) = tokio::join!(next.clone().run(input.clone()), next.run(input));
        drop(second);
        first
    });
    let stack = two_words().with(ServiceBuilder::new().layer(hedge).layer(books.layer.clone()));
    stack.run_inference(ask(100)).await.unwrap().body.count().await;
    assert_eq!(
        (books.rows("left"), books.rows("complete"), books.all_rows()),
        (1, 1, 2)
    );
    assert_eq!(books.charged(), PROMPT + 40);
}

#[tokio::test(start_paused = true)]
async fn what_a_miner_claims_or_sends_beyond_the_cap_is_not_billed() {
    let honest = Usage {
        input_tokens: PROMPT,
        output_tokens: 50,
    };
    let lying = Usage {
        input_tokens: PROMPT * 12 / 10 + 1,
        output_tokens: 60,
    };
    for claimed in [None, Some(honest), Some(lying)] {
        let books = books();
        let mut last = Delta::finish(FinishReason::Stop);
        last.usage = claimed;
        let chunks = vec![word(&"word".repeat(50)), Ok(Chunk::delta(last).into_last())];
        let stack = saying(chunks).with(books.layer.clone());
        stack.run_inference(ask(100)).await.unwrap().body.count().await;
        books.check("complete", PROMPT + 500);
    }
    let books = books();
    let stack = saying(vec![word(&"word".repeat(500)), end()]).with(books.layer.clone());
    stack.run_inference(ask(100)).await.unwrap().body.count().await;
    books.check("complete", PROMPT + 1_000);
}
