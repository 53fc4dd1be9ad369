//! What is used of a day's and a month's tokens outlives the process: the ledger knows it.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime},
};

use futures_util::StreamExt;
use synapse_core::{
    Allowance, ApiKey, Body, Caller, Delta, Error, FinishReason, InferenceModule, InferenceService, Input,
    Message, ModuleExt, Output, RateLimitStatus, Stack, WallClock, testkit::Scripted,
};
use synapse_validator::{
    PriceBook, RateLimitLayer,
    ledger::{Ledger, LedgerLayer, Settings},
    rate_limit::{Limits, Quota, Restored},
};
use tokio::time::advance;
use tower::ServiceBuilder;

/// `user` and `hello`, at four bytes a token.
const PROMPT: u64 = 3;
/// 2026-11-29 at 12:00 UTC.
const NOON: u64 = 1_795_953_600;
const HOUR: Duration = Duration::from_hours(1);

/// The time of day, which goes on as tokio's does.
#[derive(Debug, Clone)]
struct Wall(tokio::time::Instant);

impl WallClock for Wall {
    fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(NOON) + self.0.elapsed()
    }
}

/// A gateway, as long as it lives.
struct Process<S> {
    stack: Stack<S, Scripted>,
    limits: RateLimitLayer,
}

/// Replies of as many tokens as the request allows, but for odd numbers of them: those fail.
fn miner() -> Scripted {
    Scripted::new(|input| async move {
        let tokens = input.max_tokens()?.unwrap_or(0) as usize;
        if tokens % 2 == 1 {
            return Err(Error::broken("scripted", "a scripted failure"));
        }
        let end = Delta::finish(FinishReason::Stop);
        Ok(Output::new(Body::from_deltas([
            Delta::text("word".repeat(tokens)),
            end,
        ])))
    })
}

async fn start(directory: &Path, wall: &Wall, limits: Limits) -> Process<impl InferenceService> {
    // Whatever was before was before.
    advance(Duration::from_millis(1)).await;
    let ledger = Ledger::open(directory, Settings::default()).unwrap();
    let ledger = LedgerLayer::new(ledger, PriceBook::free()).clock(Arc::new(wall.clone()));
    let limits = RateLimitLayer::new(limits).max_callers(64).clock(wall.clone());
    let layers = ServiceBuilder::new().layer(limits.clone()).layer(ledger);
    Process {
        stack: miner().with(layers),
        limits,
    }
}

fn ask(caller: &str, key: &str, tokens: u32) -> Input {
    let mut allowance = Allowance::default();
    allowance.tokens_per_day = Some(10_000);
    allowance.tokens_per_month = Some(30_000);
    let mut input = Input::chat("m", [Message::user("hello")]);
    input.set_max_tokens(tokens).unwrap();
    input.extensions_mut().insert(Caller::new(caller));
    input.extensions_mut().insert(ApiKey::new(key, allowance));
    input
}

impl<S: InferenceService> Process<S> {
    /// Asks, reads the reply, and says what was left of tokens before it.
    async fn ask(&self, input: Input) -> Result<u64, Error> {
        let reserved = PROMPT + u64::from(input.max_tokens()?.unwrap_or(0));
        let output = self.stack.run_inference(input).await?;
        let status = *output.head.extensions().get::<RateLimitStatus>().unwrap();
        output.body.for_each(|_| async {}).await;
        Ok(status.tokens.unwrap().remaining() + reserved)
    }

    /// What is left of tokens.
    async fn left(&self, caller: &str, key: &str) -> u64 {
        self.ask(ask(caller, key, 0)).await.unwrap()
    }
}

#[tokio::test(start_paused = true)]
async fn budgets_go_on_where_the_last_process_left_them() {
    let dir = tempfile::tempdir().unwrap();
    let wall = Wall(tokio::time::Instant::now());
    let first = start(dir.path(), &wall, Limits::none()).await;
    first.ask(ask("alice", "a", 4_000)).await.unwrap();
    first.ask(ask("alice", "b", 400)).await.unwrap();
    // What fails uses nothing.
    first.ask(ask("alice", "a", 3_001)).await.unwrap_err();
    assert_eq!(first.left("alice", "a").await, 10_000 - 4_000 - PROMPT);
    drop(first);

    let second = start(dir.path(), &wall, Limits::none()).await;
    // Until it is read, everybody begins anew.
    second.ask(ask("alice", "b", 1_000)).await.unwrap();
    let restored = second.limits.restore(dir.path()).unwrap();
    assert_eq!(
        (restored.requests, restored.accounts, restored.left_out),
        (3, 2, false)
    );
    // Once, and what it asked for itself is counted once.
    second.limits.restore(dir.path()).unwrap();
    assert_eq!(second.left("alice", "a").await, 10_000 - 4_000 - 2 * PROMPT);
    assert_eq!(second.left("alice", "b").await, 10_000 - 400 - 1_000 - 2 * PROMPT);
    second.ask(ask("alice", "a", 5_000)).await.unwrap();
    let error = second.ask(ask("alice", "a", 2_000)).await.unwrap_err();
    assert_eq!(error.code(), "budget_exhausted");
    assert_eq!(
        error.message(),
        "the API key's budget of 10000 tokens per day of UTC has 988 left, and the request may take 2003"
    );

    // The next day the month is still what it is.
    advance(14 * HOUR).await;
    assert_eq!(second.left("alice", "a").await, 10_000);
    drop(second);
    let third = start(dir.path(), &wall, Limits::none()).await;
    third.limits.restore(dir.path()).unwrap();
    // The last question of the second process was on this day.
    assert_eq!(third.left("alice", "a").await, 10_000 - PROMPT);
    // The first of December, on which both are new.
    advance(24 * HOUR).await;
    assert_eq!(third.left("alice", "a").await, 10_000);
}

#[tokio::test(start_paused = true)]
async fn a_month_goes_on_and_ends() {
    let dir = tempfile::tempdir().unwrap();
    let wall = Wall(tokio::time::Instant::now());
    let limits = || Limits::per_caller(Quota::token_budget_per_month(1_000));
    for (days, code) in [(0, None), (1, Some("budget_exhausted")), (1, None)] {
        advance(days * 24 * HOUR).await;
        let process = start(dir.path(), &wall, limits()).await;
        process.limits.restore(dir.path()).unwrap();
        let asked = process.ask(ask("alice", "a", 800)).await;
        assert_eq!(asked.as_ref().err().map(Error::code), code, "{days}");
        process.ask(ask("bob", "b", 100)).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_window_that_a_day_refills_goes_on_to_the_token() {
    let dir = tempfile::tempdir().unwrap();
    let wall = Wall(tokio::time::Instant::now());
    let quota = Quota::tokens_per_day(2_400).and(Quota::tokens_per_minute(2_400));
    let limits = || Limits::per_caller(quota).for_everybody(Quota::tokens_per_day(24_000));
    let mut left = Vec::new();
    let live = start(dir.path(), &wall, limits()).await;
    for (hours, caller, tokens) in [
        (1, "alice", 2_000),
        (5, "bob", 300),
        (3, "alice", 700),
        (2, "bob", 2_000),
    ] {
        live.ask(ask(caller, caller, tokens)).await.unwrap();
        advance(hours * HOUR).await;
    }
    for caller in ["alice", "bob", "carol"] {
        left.push(live.left(caller, "k").await);
    }
    drop(live);
    let next = start(dir.path(), &wall, limits()).await;
    next.limits.restore(dir.path()).unwrap();
    for (caller, left) in ["alice", "bob", "carol"].iter().zip(left) {
        // Less what the last question took.
        assert_eq!(next.left(caller, "k").await, left - PROMPT, "{caller}");
    }
    drop(next);
    // Two days on it is as if nothing had been.
    advance(48 * HOUR).await;
    let later = start(dir.path(), &wall, limits()).await;
    later.limits.restore(dir.path()).unwrap();
    assert_eq!(later.left("alice", "other").await, 2_400);
}

#[tokio::test(start_paused = true)]
async fn what_a_day_refills_says_nothing_of_the_present_minute() {
    let dir = tempfile::tempdir().unwrap();
    let wall = Wall(tokio::time::Instant::now());
    let limits = || Limits::per_caller(Quota::tokens_per_day(2_400).and(Quota::tokens_per_minute(100)));
    let live = start(dir.path(), &wall, limits()).await;
    for _ in 0..10 {
        live.ask(ask("alice", "a", 90)).await.unwrap();
        advance(HOUR / 12).await;
    }
    drop(live);
    let next = start(dir.path(), &wall, limits()).await;
    next.limits.restore(dir.path()).unwrap();
    next.ask(ask("alice", "a", 90)).await.unwrap();
    let error = next.ask(ask("alice", "a", 90)).await.unwrap_err();
    assert_eq!(error.code(), "rate_limited");
}

#[tokio::test(start_paused = true)]
async fn no_more_accounts_are_restored_than_are_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let wall = Wall(tokio::time::Instant::now());
    let first = start(dir.path(), &wall, Limits::none()).await;
    // Idle ones are forgotten within a second, so that all of them are let in.
    for number in 0..100 {
        let key = format!("key{number}");
        let mut input = ask("alice", &key, 2);
        input
            .extensions_mut()
            .insert(ApiKey::new(key.as_str(), Allowance::default()));
        first.stack.run_inference(input).await.unwrap();
    }
    drop(first);
    let second = start(dir.path(), &wall, Limits::none()).await;
    let restored = second.limits.restore(dir.path()).unwrap();
    assert_eq!((restored.accounts, restored.left_out), (64, true));
    // Keys without a budget take no room.
    for number in 0..200 {
        let key = format!("new{number}");
        let mut input = ask("alice", &key, 2);
        input
            .extensions_mut()
            .insert(ApiKey::new(key.as_str(), Allowance::default()));
        second.stack.run_inference(input).await.unwrap();
    }
    assert_eq!(Restored::default().accounts, 0);
    let nowhere = second.limits.restore(dir.path().join("nowhere")).unwrap_err();
    assert_eq!(nowhere.code(), "ledger_not_found");
}
