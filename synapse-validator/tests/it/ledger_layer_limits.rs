//! What callers and keys may spend a day and a month of UTC.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use futures_util::StreamExt;
use synapse_core::{
    Allowance, ApiKey, Body, Caller, Chunk, Date, Delta, Error, ErrorKind, InferenceModule, InferenceService,
    Input, Message, Micros, ModuleExt, Output, Retry, Stack,
    testkit::{ManualClock, Scripted},
};
use synapse_validator::{
    billing::{Price, PriceBook, SpendLimit, Terms},
    ledger::{Ledger, LedgerLayer, Settings},
};
use tempfile::TempDir;

const HOUR: Duration = Duration::from_secs(3_600);

struct World {
    clock: Arc<ManualClock>,
    layer: LedgerLayer,
    _dir: TempDir,
}

/// At 21:00 of the last day but one of November; a token of a reply costs 10 micros.
fn world() -> World {
    let dir = tempfile::tempdir().unwrap();
    let day: Date = "2026-11-29".parse().unwrap();
    let clock = Arc::new(ManualClock::at(
        SystemTime::UNIX_EPOCH + Duration::from_secs(day.unix_seconds()) + 21 * HOUR,
    ));
    let ledger = Ledger::open(dir.path(), Settings::default()).unwrap();
    let prices = PriceBook::flat(Price::per_million(Micros::ZERO, Micros(10_000_000)));
    World {
        layer: LedgerLayer::new(ledger, prices).clock(clock.clone()),
        clock,
        _dir: dir,
    }
}

/// Replies as long as they may be.
fn stack(layer: LedgerLayer) -> Stack<impl InferenceService, Scripted> {
    Scripted::new(|input| async move {
        let tokens = input.max_tokens()?.unwrap_or(0) as usize;
        let reply = Chunk::delta(Delta::text("word".repeat(tokens))).into_last();
        Ok(Output::new(Body::once(reply)))
    })
    .with(layer)
}

fn ask(tokens: u32, key: Option<(&str, Option<Micros>, Option<Micros>)>) -> Input {
    let mut input = Input::chat("m", [Message::user("hello")]);
    input.set_max_tokens(tokens).unwrap();
    input.extensions_mut().insert(Caller::new("alice"));
    if let Some((id, per_day, per_month)) = key {
        let mut allowance = Allowance::default();
        (allowance.spend_per_day, allowance.spend_per_month) = (per_day, per_month);
        input.extensions_mut().insert(ApiKey::new(id, allowance));
    }
    input
}

async fn spend(module: &impl InferenceModule, input: Input) -> Result<(), Error> {
    module.run_inference(input).await?.body.count().await;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_key_spends_its_day_and_the_next_day_begins_at_midnight() {
    let world = world();
    let stack = stack(world.layer.clone());
    let key = |tokens| ask(tokens, Some(("k1", Some(Micros(1_000)), None)));
    spend(&stack, key(60)).await.unwrap();
    let error = spend(&stack, key(41)).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.code(), error.retry()),
        (
            ErrorKind::RateLimited,
            "spend_limit_reached",
            Retry::After(3 * HOUR)
        )
    );
    assert_eq!(
        error.to_string(),
        "the request may cost 0.00041, and this API key has 0.0004 left of 0.001 a day; set max_tokens to 40 or less, or \
         wait until 2026-11-30T00:00:00Z"
    );
    spend(&stack, key(40)).await.unwrap();
    let other = ask(100, Some(("k2", Some(Micros(1_000)), None)));
    spend(&stack, other)
        .await
        .expect("another key has a day of its own");
    spend(&stack, ask(1_000, None)).await.expect("no key, no limit");

    let error = spend(&stack, key(101)).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.code(), error.retry()),
        (ErrorKind::Invalid, "request_exceeds_spend_limit", Retry::Never)
    );
    assert_eq!(
        error.to_string(),
        "the request may cost 0.00101, and this API key may spend 0.001 a day; set max_tokens to 100 or less, or ask the \
         gateway's operator for a higher limit"
    );
    world.clock.advance(3 * HOUR - Duration::from_millis(1));
    spend(&stack, key(1)).await.unwrap_err();
    world.clock.advance(Duration::from_millis(1));
    spend(&stack, key(100)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_month_is_the_calendars() {
    let world = world();
    let stack = stack(world.layer.clone());
    let key = |tokens| ask(tokens, Some(("k1", None, Some(Micros(1_000)))));
    spend(&stack, key(60)).await.unwrap();
    world.clock.advance(24 * HOUR);
    let error = spend(&stack, key(60)).await.unwrap_err();
    assert_eq!(error.retry(), Retry::After(3 * HOUR), "November ends");
    world.clock.advance(3 * HOUR);
    spend(&stack, key(60)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_is_under_way_counts_as_spent() {
    let world = world();
    let stack = stack(world.layer.clone());
    let limit = SpendLimit::default()
        .per_day(Micros(1_000))
        .per_month(Micros(5_000));
    world.layer.set_terms(Terms::default().spend_limit(limit));
    let under_way = stack.run_inference(ask(70, None)).await.unwrap();
    let error = spend(&stack, ask(40, None)).await.unwrap_err();
    assert_eq!(
        error.retry(),
        Retry::After(Duration::from_secs(1)),
        "it may cost less"
    );
    assert_eq!(
        error.to_string(),
        "the request may cost 0.0004, and this caller has 0.0003 left of 0.001 a day; set max_tokens to 30 or less, or \
         wait until requests under way have ended"
    );
    drop(under_way);
    spend(&stack, ask(100, None)).await.unwrap();
    spend(&stack, ask(0, None)).await.expect("it costs nothing");
    world.layer.set_terms(Terms::default());
    spend(&stack, ask(100_000, None)).await.unwrap();
}
