//! What went wrong, for people and for programs.

use std::{error::Error as _, time::Duration};

use synapse_core::{Error, ErrorKind, Retry};

#[test]
fn an_error_says_what_and_what_to_do_and_does_not_repeat_its_cause() {
    let cause = std::io::Error::other("connection refused");
    let error = Error::unavailable("miner_unreachable", "the miner m1 could not be reached")
        .with_hint("check that it runs")
        .with_source(cause);
    assert_eq!(
        error.to_string(),
        "the miner m1 could not be reached; check that it runs"
    );
    assert_eq!(error.message(), "the miner m1 could not be reached");
    assert_eq!(error.source().unwrap().to_string(), "connection refused");
    let debug = format!("{error:?}");
    assert!(
        debug.contains("miner_unreachable") && debug.contains("connection refused"),
        "{debug}"
    );
}

#[test]
fn kinds_say_whose_fault_it_is_and_whether_to_retry() {
    fn check(kind: ErrorKind, callers_fault: bool, retry: Retry) {
        assert_eq!(kind.is_callers_fault(), callers_fault, "{kind:?}");
        assert_eq!(Error::new(kind, "code", "message").retry(), retry, "{kind:?}");
    }
    check(ErrorKind::Invalid, true, Retry::Never);
    check(ErrorKind::Unauthenticated, true, Retry::Never);
    check(ErrorKind::Forbidden, true, Retry::Never);
    check(ErrorKind::NotFound, true, Retry::Never);
    check(ErrorKind::TooLarge, true, Retry::Never);
    check(ErrorKind::Unsupported, true, Retry::Never);
    check(ErrorKind::RateLimited, true, Retry::Never);
    check(ErrorKind::PaymentRequired, true, Retry::Never);
    check(ErrorKind::Overloaded, false, Retry::Elsewhere);
    check(ErrorKind::Timeout, false, Retry::Elsewhere);
    check(ErrorKind::Unavailable, false, Retry::Elsewhere);
    check(ErrorKind::Broken, false, Retry::Elsewhere);
    check(ErrorKind::Internal, false, Retry::Elsewhere);
}

#[test]
fn the_wait_outlives_a_verdict_to_go_elsewhere() {
    let wait = std::time::Duration::from_secs(3);
    let refused = Error::new(ErrorKind::Overloaded, "queue_full", "all places are taken");
    assert_eq!(refused.retry_after(), None);
    assert_eq!(
        refused.clone().with_retry(Retry::After(wait)).retry_after(),
        Some(wait)
    );
    let elsewhere = refused.with_retry_after(wait);
    assert_eq!(
        (elsewhere.retry(), elsewhere.retry_after()),
        (Retry::Elsewhere, Some(wait))
    );
}

#[test]
fn a_changed_clone_leaves_the_other_alone() {
    let error = Error::invalid("bad", "bad");
    let changed = error
        .clone()
        .with_retry(Retry::After(Duration::from_secs(1)))
        .with_param("model");
    assert_eq!((error.retry(), error.param()), (Retry::Never, None));
    assert_eq!(
        (changed.retry(), changed.param()),
        (Retry::After(Duration::from_secs(1)), Some("model"))
    );
}

#[test]
fn a_model_name_is_shown_quoted_and_cut() {
    let error = Error::model_not_found(&format!("a\r\nb{}", "x".repeat(1000)));
    assert!(error.message().contains(r"a\r\nb"), "{error}");
    assert!(error.message().len() < 200);
    assert_eq!(
        (error.code(), error.kind(), error.param()),
        ("model_not_found", ErrorKind::NotFound, Some("model"))
    );
}

/// An error of somebody else's around one of ours.
#[derive(Debug)]
struct Wrapped(Error);

impl std::fmt::Display for Wrapped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("wrapped")
    }
}

impl std::error::Error for Wrapped {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

#[test]
fn strangers_become_errors_of_ours() {
    fn check(error: impl Into<tower::BoxError>, kind: ErrorKind, code: &str) {
        let error = Error::from_boxed(error.into());
        assert_eq!((error.kind(), error.code()), (kind, code));
    }
    check(Error::invalid("bad", "bad"), ErrorKind::Invalid, "bad");
    check(
        tower::timeout::error::Elapsed::new(),
        ErrorKind::Timeout,
        "timeout",
    );
    check(
        tower::load_shed::error::Overloaded::new(),
        ErrorKind::Overloaded,
        "overloaded",
    );
    check("a stranger", ErrorKind::Internal, "layer_failed");
    check(
        Wrapped(Error::invalid("inside", "a cause further down")),
        ErrorKind::Invalid,
        "inside",
    );
    let stranger = Error::from_boxed("a stranger".into());
    assert_eq!(
        stranger.source().unwrap().to_string(),
        "a stranger",
        "the cause is kept"
    );
    assert!(!stranger.to_string().contains("stranger"));
}

#[test]
fn a_panic_is_logged_and_not_told_to_callers() {
    let payload = std::panic::catch_unwind(|| panic!("a secret")).unwrap_err();
    let error = Error::from_panic(&*payload);
    assert_eq!(
        (error.kind(), error.code()),
        (ErrorKind::Internal, "module_panicked")
    );
    assert!(!format!("{error:?}").contains("secret"));
}
