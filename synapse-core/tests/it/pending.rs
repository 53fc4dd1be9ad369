//! What is owed before there is a body.

use std::{future::pending, panic::AssertUnwindSafe};

use futures_util::{FutureExt, StreamExt};
use synapse_core::{Output, Pending};
use tokio::time::{Duration, timeout};

use crate::fakes::{Log, PanickingTap, body_of, failure, last};

#[tokio::test]
async fn an_ok_hands_the_tap_to_the_body() {
    let log = Log::default();
    let mut output = Pending::new(log.tap())
        .settle(Ok(Output::new(body_of([Ok(last("a"))]))))
        .unwrap();
    assert_eq!(log.lines(), [""; 0]);
    output.body.next().await;
    assert_eq!(log.lines(), ["chunk a", "complete"]);
}

#[tokio::test]
async fn an_err_ends_it_broken() {
    let log = Log::default();
    let error = Pending::new(log.tap())
        .settle(Err(failure("refused")))
        .unwrap_err();
    assert_eq!(error.code(), "refused");
    assert_eq!(log.lines(), ["broken refused"]);
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_leaves_ends_it_dropped() {
    let log = Log::default();
    let held = Pending::new(log.tap());
    let call = async move { held.settle(pending().await) };
    assert!(timeout(Duration::from_secs(1), call).await.is_err());
    assert_eq!(log.lines(), ["dropped"]);
}

#[tokio::test]
async fn a_future_that_is_never_polled_ends_it_dropped() {
    let log = Log::default();
    let held = Pending::new(log.tap());
    drop(async move { held.settle(pending().await) });
    assert_eq!(log.lines(), ["dropped"]);
}

#[tokio::test]
async fn a_panic_behind_it_ends_it_dropped() {
    let log = Log::default();
    let held = Pending::new(log.tap());
    let call = async move { held.settle(async { panic!("a fault injected behind a pending") }.await) };
    assert!(AssertUnwindSafe(call).catch_unwind().await.is_err());
    assert_eq!(log.lines(), ["dropped"]);
}

#[tokio::test]
async fn a_tap_that_panics_at_its_end_takes_nobody_down() {
    drop(Pending::new(PanickingTap));
    let error = Pending::new(PanickingTap)
        .settle(Err(failure("refused")))
        .unwrap_err();
    assert_eq!(error.code(), "refused");
    // A second panic while one unwinds would end the process.
    let held = Pending::new(PanickingTap);
    let call = async move { held.settle(async { panic!("a fault injected behind a pending") }.await) };
    assert!(AssertUnwindSafe(call).catch_unwind().await.is_err());
}
