//! Several windows, and several whose windows they are: all of them, or nothing.

use std::{error::Error as _, net::IpAddr, sync::Arc, time::Duration};

use synapse_core::{
    Allowance, ApiKey, Body, Caller, ClientIp, Error, ErrorKind, InferenceModule, Input, Message, ModuleExt,
    Output, RateLimitStatus, RateLimited, Retry, WallClock, testkit::Scripted,
};
use synapse_validator::rate_limit::{Limits, Quota, RateLimitLayer};
use tokio::time::{advance, sleep};

fn good() -> Scripted {
    Scripted::new(|_| async { Ok(Output::new(Body::whole("ok"))) })
}

/// Three tokens by estimate: `user` and `hello`.
fn ask(model: &str, max_tokens: u32) -> Input {
    let mut input = Input::chat(model, [Message::user("hello")]);
    input.set_max_tokens(max_tokens).unwrap();
    input
}

fn from(caller: &str, address: &str) -> Input {
    let mut input = ask("m", 1);
    input.extensions_mut().insert(Caller::new(caller));
    let address: IpAddr = address.parse().unwrap();
    input.extensions_mut().insert(ClientIp(address));
    input
}

async fn refused(module: &impl InferenceModule, input: Input) -> Error {
    module.run_inference(input).await.expect_err("a limit is reached")
}

fn left(error: &Error) -> RateLimitStatus {
    let source = error.source().expect("a refusal says what is left");
    source.downcast_ref::<RateLimited>().expect("as a status").0
}

#[tokio::test(start_paused = true)]
async fn windows_of_one_unit_hold_together() {
    let quota = Quota::requests_per_second(2).and(Quota::requests_per_minute(5));
    let stack = good().with(RateLimitLayer::per_caller(quota));
    for _ in 0..2 {
        stack.run_inference(ask("m", 1)).await.unwrap();
    }
    let error = refused(&stack, ask("m", 1)).await;
    assert_eq!(error.message(), "the quota of 2 requests per second is used up");
    assert_eq!(error.retry(), Retry::After(Duration::from_millis(500)));
    assert_eq!(left(&error).requests.unwrap().limit(), 2);
    for _ in 0..3 {
        advance(Duration::from_secs(1)).await;
        stack.run_inference(ask("m", 1)).await.unwrap();
    }
    let error = refused(&stack, ask("m", 1)).await;
    assert_eq!(error.message(), "the quota of 5 requests per minute is used up");
    assert_eq!(error.retry(), Retry::After(Duration::from_secs(9)));
    let status = left(&error).requests.unwrap();
    assert_eq!((status.limit(), status.remaining()), (5, 0));
}

#[test]
fn of_two_windows_of_a_kind_the_smaller_holds() {
    let quota = Quota::tokens_per_day(7).and(Quota::tokens_per_day(9).and(Quota::requests_per_hour(1)));
    assert_eq!(quota.to_string(), "1 requests per hour, 7 tokens per day");
    assert_eq!(quota, Quota::requests_per_hour(1).and(Quota::tokens_per_day(7)));
    let allowance = Allowance::default();
    assert!(Quota::from(&allowance).is_unlimited());
    assert_eq!(Quota::UNLIMITED.to_string(), "no limit");
}

#[tokio::test(start_paused = true)]
async fn every_scope_has_its_own_account_and_is_named() {
    async fn check(limits: Limits, same: impl Fn() -> Input, other: Option<Input>, message: &str) {
        let stack = good().with(RateLimitLayer::new(limits));
        stack.run_inference(same()).await.unwrap();
        let error = refused(&stack, same()).await;
        assert_eq!(
            (error.code(), error.message()),
            (
                "rate_limited",
                format!("{message} quota of 1 requests per day is used up").as_str()
            )
        );
        assert_eq!(error.retry(), Retry::After(Duration::from_hours(24)));
        assert_eq!(left(&error).requests.unwrap().remaining(), 0);
        if let Some(other) = other {
            stack.run_inference(other).await.unwrap();
        }
    }
    let one = || Quota::requests_per_day(1);
    let alice = || from("alice", "192.0.2.1");
    check(
        Limits::per_caller(one()),
        alice,
        Some(from("bob", "192.0.2.1")),
        "the",
    )
    .await;
    check(
        Limits::none().per_address(one()),
        alice,
        Some(from("alice", "192.0.2.2")),
        "the address's",
    )
    .await;
    check(Limits::none().for_everybody(one()), alice, None, "everybody's").await;
    check(
        Limits::none().per_model("m", one()),
        alice,
        Some(ask("n", 1)),
        "the model's",
    )
    .await;
    let key = |id: &str| {
        let mut allowance = Allowance::default();
        allowance.requests_per_minute = Some(1);
        let mut input = alice();
        input.extensions_mut().insert(ApiKey::new(id, allowance));
        input
    };
    let stack = good().with(RateLimitLayer::new(Limits::none()));
    stack.run_inference(key("first")).await.unwrap();
    assert_eq!(
        refused(&stack, key("first")).await.message(),
        "the API key's quota of 1 requests per minute is used up"
    );
    stack.run_inference(key("second")).await.unwrap();
    stack.run_inference(alice()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_one_scope_refuses_takes_nothing_from_the_others() {
    let limits = Limits::per_caller(Quota::requests_per_day(2))
        .per_address(Quota::requests_per_day(3))
        .for_everybody(Quota::requests_per_day(5));
    let stack = good().with(RateLimitLayer::new(limits));
    let ask =
        async |caller: &str, address: &str| stack.run_inference(from(caller, address)).await.map(|_| ());
    for _ in 0..2 {
        ask("alice", "192.0.2.1").await.unwrap();
    }
    for _ in 0..10 {
        ask("alice", "192.0.2.1").await.unwrap_err();
    }
    // One more for the address, which alice's ten did not take.
    ask("bob", "192.0.2.1").await.unwrap();
    let error = ask("bob", "192.0.2.1").await.unwrap_err();
    assert_eq!(
        error.message(),
        "the address's quota of 3 requests per day is used up"
    );
    // Two more for everybody, one of which bob may have.
    ask("bob", "192.0.2.2").await.unwrap();
    ask("carol", "192.0.2.2").await.unwrap();
    let error = ask("carol", "192.0.2.3").await.unwrap_err();
    assert_eq!(
        error.message(),
        "everybody's quota of 5 requests per day is used up"
    );
}

#[tokio::test(start_paused = true)]
async fn an_address_of_ipv6_is_its_network_and_a_mapped_one_is_ipv4() {
    let stack = good().with(RateLimitLayer::new(
        Limits::none().per_address(Quota::requests_per_day(1)),
    ));
    let ask = async |address: &str| stack.run_inference(from("alice", address)).await.is_ok();
    assert!(ask("2001:db8:1:2::1").await);
    assert!(!ask("2001:db8:1:2:ffff::9").await);
    assert!(ask("2001:db8:1:3::1").await);
    assert!(ask("192.0.2.1").await);
    assert!(!ask("::ffff:192.0.2.1").await);
}

#[tokio::test(start_paused = true)]
async fn made_up_models_and_addresses_take_no_memory_without_end() {
    let layer = RateLimitLayer::new(
        Limits::none()
            .per_model("m", Quota::requests_per_day(10_000))
            .per_address(Quota::requests_per_minute(1)),
    )
    .max_callers(16);
    let stack = good().with(layer.clone()).attach(layer);
    let mut refused = 0;
    for number in 0..500_u32 {
        let mut input = ask(&format!("model-{number}"), 1);
        let address = IpAddr::from(number.to_be_bytes());
        input.extensions_mut().insert(ClientIp(address));
        if let Err(error) = stack.run_inference(input).await {
            assert_eq!(
                (error.kind(), error.code()),
                (ErrorKind::Overloaded, "too_many_callers")
            );
            refused += 1;
        }
    }
    assert!(refused >= 484);
    let metrics = stack.get_metrics();
    let accounts = |scope| metrics.get("rate_limit.accounts", &[("scope", scope)]).unwrap();
    assert!(accounts("address") <= 16.0);
    assert!(accounts("model") < f64::EPSILON);
    assert_eq!(
        metrics.get("rate_limit.refused_by", &[("scope", "address")]),
        Some(f64::from(refused))
    );
}

#[tokio::test(start_paused = true)]
async fn the_head_has_the_window_that_is_nearest_to_its_end() {
    let limits = Limits::per_caller(Quota::requests_per_minute(60).and(Quota::tokens_per_day(1_000)))
        .for_everybody(Quota::requests_per_second(3).and(Quota::tokens_per_minute(500)));
    let stack = good().with(RateLimitLayer::new(limits));
    let output = stack.run_inference(ask("m", 97)).await.unwrap();
    let status = *output.head.extensions().get::<RateLimitStatus>().unwrap();
    let (requests, tokens) = (status.requests.unwrap(), status.tokens.unwrap());
    assert_eq!((requests.limit(), requests.remaining()), (3, 2));
    assert_eq!((tokens.limit(), tokens.remaining()), (500, 400));
}

#[tokio::test(start_paused = true)]
async fn other_limits_hold_at_once() {
    let layer = RateLimitLayer::new(Limits::per_caller(Quota::requests_per_minute(10)));
    let stack = good().with(layer.clone());
    for _ in 0..4 {
        stack.run_inference(ask("m", 1)).await.unwrap();
    }
    // A window that was not there begins with what is known to be used.
    layer.set_limits(
        Limits::per_caller(Quota::requests_per_minute(10).and(Quota::requests_per_hour(5)))
            .per_model("m", Quota::requests_per_day(2)),
    );
    stack.run_inference(ask("m", 1)).await.unwrap();
    assert_eq!(
        refused(&stack, ask("m", 1)).await.message(),
        "the quota of 5 requests per hour is used up"
    );
    layer.set_quota(Quota::UNLIMITED);
    stack.run_inference(ask("m", 1)).await.unwrap();
    assert_eq!(
        refused(&stack, ask("m", 1)).await.message(),
        "the model's quota of 2 requests per day is used up"
    );
    layer.set_limits(Limits::none());
    stack.run_inference(ask("m", 1)).await.unwrap();
}

/// A wall clock that tells whatever the test wants.
#[derive(Debug, Clone)]
struct Wall(Arc<std::sync::Mutex<std::time::SystemTime>>);

impl Wall {
    /// So many seconds after 1970.
    fn at(seconds: u64) -> Self {
        let wall = Self(Arc::new(std::sync::Mutex::new(std::time::UNIX_EPOCH)));
        wall.jump_to(seconds);
        wall
    }

    fn jump_to(&self, seconds: u64) {
        *self.0.lock().unwrap() = std::time::UNIX_EPOCH + Duration::from_secs(seconds);
    }
}

impl WallClock for Wall {
    fn now(&self) -> std::time::SystemTime {
        *self.0.lock().unwrap()
    }
}

/// 2026-11-30 at 23:00 UTC.
const LAST_HOUR_OF_NOVEMBER: u64 = 1_796_079_600;

#[tokio::test(start_paused = true)]
async fn a_budget_lasts_until_its_day_or_month_is_over() {
    async fn check(quota: Quota, message: &str, at: u64, next: u64) {
        let layer = RateLimitLayer::per_caller(quota).clock(Wall::at(at));
        // What was reserved is never given back: the reply does not end.
        let stack = good().with(layer);
        let first = stack.run_inference(ask("m", 57)).await.unwrap();
        let error = refused(&stack, ask("m", 38)).await;
        assert_eq!(
            (error.kind(), error.code()),
            (ErrorKind::RateLimited, "budget_exhausted")
        );
        assert_eq!(error.message(), message);
        assert_eq!(error.retry(), Retry::After(Duration::from_secs(next - at)));
        let status = left(&error).tokens.unwrap();
        assert_eq!(
            (status.limit(), status.remaining(), status.reset().as_secs()),
            (100, 40, next - at)
        );
        let second = stack.run_inference(ask("m", 37)).await.unwrap();
        // Nothing comes back by and by.
        advance(Duration::from_secs(next - at) - Duration::from_nanos(1)).await;
        refused(&stack, ask("m", 1)).await;
        advance(Duration::from_nanos(1)).await;
        let third = stack.run_inference(ask("m", 57)).await.unwrap();
        // What began in the former one gives nothing back to this one.
        drop((first, second));
        assert_eq!(refused(&stack, ask("m", 38)).await.code(), "budget_exhausted");
        drop(third);
        stack.run_inference(ask("m", 90)).await.unwrap();
    }
    let day = "the budget of 100 tokens per day of UTC has 40 left, and the request may take 41";
    let month = "the budget of 100 tokens per month of UTC has 40 left, and the request may take 41";
    let midnight = LAST_HOUR_OF_NOVEMBER + 3_600;
    let january = midnight + 31 * 86_400;
    check(
        Quota::token_budget_per_day(100),
        day,
        LAST_HOUR_OF_NOVEMBER,
        midnight,
    )
    .await;
    check(
        Quota::token_budget_per_month(100),
        month,
        LAST_HOUR_OF_NOVEMBER,
        midnight,
    )
    .await;
    check(Quota::token_budget_per_month(100), month, midnight, january).await;
}

#[tokio::test(start_paused = true)]
async fn a_jump_of_the_wall_clock_changes_nothing() {
    let wall = Wall::at(LAST_HOUR_OF_NOVEMBER);
    let quota = Quota::requests_per_minute(3).and(Quota::token_budget_per_month(1_000));
    let stack = good().with(RateLimitLayer::per_caller(quota).clock(wall.clone()));
    let mut open = Vec::new();
    for _ in 0..3 {
        open.push(stack.run_inference(ask("m", 297)).await.unwrap());
    }
    for jump in [3_601, -3_600_i64, 0] {
        wall.jump_to(LAST_HOUR_OF_NOVEMBER.checked_add_signed(jump).unwrap());
        let error = refused(&stack, ask("m", 1)).await;
        assert_eq!(error.message(), "the quota of 3 requests per minute is used up");
        assert_eq!(error.retry(), Retry::After(Duration::from_secs(20)));
    }
    wall.jump_to(LAST_HOUR_OF_NOVEMBER + 3_601);
    sleep(Duration::from_secs(20)).await;
    let error = refused(&stack, ask("m", 98)).await;
    assert_eq!(error.code(), "budget_exhausted");
    assert_eq!(error.retry(), Retry::After(Duration::from_secs(3_580)));
    stack.run_inference(ask("m", 97)).await.unwrap();
}
