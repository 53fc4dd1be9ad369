//! Requests that were here before, or may have been.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use http::{HeaderName, HeaderValue};
use synapse_core::{ErrorKind, WallClock, keys::Signer, testkit::ManualClock};
use synapse_http::{Verifier, signed::epistula};

use super::{SIGNED_AT, Sent, address, at, bob, key, members};

const SECOND: i64 = 1_000_000_000;

fn refused(code: &str) -> Result<synapse_core::NodeId, String> {
    Err(code.to_owned())
}

async fn sent(nanos: i64) -> Sent {
    Sent::signed(&key("//Alice"), Some(&address("//Bob")), nanos).await
}

#[tokio::test]
async fn a_request_is_taken_once() {
    let (verifier, clock) = bob();
    let first = sent(0).await;
    assert!(first.checked(&verifier).is_ok());
    assert_eq!(first.checked(&verifier), refused("replayed_request"));
    clock.advance(Duration::from_secs(10));
    assert_eq!(first.checked(&verifier), refused("replayed_request"));
    clock.advance(Duration::from_nanos(1));
    assert_eq!(first.checked(&verifier), refused("stale_request"));
    assert!(sent(1).await.checked(&bob().0).is_ok());
}

#[tokio::test]
async fn a_nonce_is_one_callers_own() {
    let (verifier, _clock) = bob();
    assert!(sent(0).await.checked(&verifier).is_ok());
    let another = Sent::signed(&key("//Charlie"), Some(&address("//Bob")), 0).await;
    assert!(another.checked(&verifier).is_ok());
}

#[tokio::test]
async fn nobody_burns_anothers_nonce() {
    let (verifier, _clock) = bob();
    let honest = sent(0).await;
    let mut forged = honest.clone();
    forged.body.push(b' ');
    assert_eq!(forged.checked(&verifier), refused("bad_signature"));
    assert!(honest.checked(&verifier).is_ok());
}

#[tokio::test]
async fn a_request_for_one_miner_is_worth_nothing_to_another() {
    let for_bob = sent(0).await;
    assert!(for_bob.checked(&bob().0).is_ok());
    let clock = Arc::new(ManualClock::at(at(SIGNED_AT) - Duration::from_secs(60)));
    let charlie = Verifier::new(address("//Charlie"), members()).clock(clock.clone());
    clock.advance(Duration::from_secs(60));
    assert_eq!(for_bob.checked(&charlie), refused("wrong_receiver"));
}

#[tokio::test]
async fn a_restart_within_two_seconds_lets_nothing_in_that_was_signed_ahead() {
    let (before, _clock) = bob();
    let ahead = sent(2 * SECOND).await;
    assert!(ahead.checked(&before).is_ok());
    // The same node, started again a moment later.
    let clock = Arc::new(ManualClock::at(at(SIGNED_AT) + Duration::from_millis(10)));
    let after = Verifier::new(address("//Bob"), members()).clock(clock.clone());
    let error = after.check(&ahead.head(), &ahead.body).unwrap_err();
    assert_eq!(error.code(), "replayed_request");
    let (started, now) = ("2025-07-09T16:00:00.010Z", "2025-07-09T16:00:00.010Z");
    for told in [
        "signed at 2025-07-09T16:00:02.000Z",
        &format!("started at {started}"),
        &format!("its clock is {now}"),
    ] {
        assert!(error.message().contains(told), "{told} in {error}");
    }
    // Whatever was signed up to its start and two seconds is refused, however late it comes.
    clock.advance(Duration::from_secs(5));
    assert_eq!(ahead.checked(&after), refused("replayed_request"));
    assert_eq!(
        sent(2 * SECOND + 10_000_000).await.checked(&after),
        refused("replayed_request")
    );
    assert!(sent(2 * SECOND + 10_000_001).await.checked(&after).is_ok());
}

#[tokio::test]
async fn a_verifier_opens_once_what_it_cannot_know_is_past() {
    let clock = Arc::new(ManualClock::at(at(SIGNED_AT)));
    let verifier = Verifier::new(address("//Bob"), members()).clock(clock.clone());
    let soon = Duration::from_millis(150);
    assert!(tokio::time::timeout(soon, verifier.opened()).await.is_err());
    clock.advance(Duration::from_secs(2));
    assert!(tokio::time::timeout(soon, verifier.opened()).await.is_err());
    clock.advance(Duration::from_nanos(1));
    tokio::time::timeout(soon, verifier.opened()).await.unwrap();
    assert!(sent(2 * SECOND + 1).await.checked(&verifier).is_ok());
}

#[tokio::test]
async fn a_full_store_refuses_and_forgets_nothing() {
    let (verifier, clock) = bob();
    let verifier = verifier.replay_capacity(3, 2);
    let (alice, charlie) = (key("//Alice"), key("//Charlie"));
    let from = async |signer, nanos| Sent::signed(signer, Some(&address("//Bob")), nanos).await;
    for nanos in [0, 1] {
        assert!(from(&alice, nanos).await.checked(&verifier).is_ok());
    }
    let third = from(&alice, 2).await;
    let error = verifier.check(&third.head(), &third.body).unwrap_err();
    assert_eq!(
        (error.code(), error.kind()),
        ("replay_store_full", ErrorKind::Overloaded)
    );
    assert_eq!(error.retry_after(), Some(Duration::from_secs(1)));
    // One caller's fill leaves room for others, until all of it is taken.
    assert!(from(&charlie, 0).await.checked(&verifier).is_ok());
    assert_eq!(
        from(&charlie, 1).await.checked(&verifier),
        refused("replay_store_full")
    );
    for old in [
        from(&alice, 0).await,
        from(&alice, 1).await,
        from(&charlie, 0).await,
    ] {
        assert_eq!(old.checked(&verifier), refused("replayed_request"));
    }
    // Entries leave once they would be stale.
    clock.advance(Duration::from_secs(11));
    for nanos in [0, 1] {
        assert!(from(&alice, 11 * SECOND + nanos).await.checked(&verifier).is_ok());
    }
}

/// A clock that a hand turns, forwards and back.
#[derive(Debug)]
struct Turned(AtomicU64);

impl WallClock for Turned {
    fn now(&self) -> SystemTime {
        at(self.0.load(Ordering::Relaxed))
    }
}

#[tokio::test]
async fn a_clock_that_was_set_back_lets_nothing_in_again() {
    let clock = Arc::new(Turned(AtomicU64::new(SIGNED_AT - 60_000_000_000)));
    let verifier = Verifier::new(address("//Bob"), members()).clock(clock.clone());
    let turn = |seconds: u64| {
        clock
            .0
            .store(SIGNED_AT + seconds * 1_000_000_000, Ordering::Relaxed);
    };
    turn(0);
    let first = sent(0).await;
    assert!(first.checked(&verifier).is_ok());
    turn(30);
    assert!(sent(30 * SECOND).await.checked(&verifier).is_ok());
    turn(1);
    let error = verifier.check(&first.head(), &first.body).unwrap_err();
    assert_eq!(error.code(), "replayed_request");
    assert!(error.message().contains("set back"), "{error}");
}

#[tokio::test]
async fn a_uuid_counts_once_whatever_its_time_and_case() {
    let (verifier, _clock) = bob();
    let verifier = verifier.accept_epistula();
    let (alice, to, now) = (key("//Alice"), address("//Bob"), SIGNED_AT / 1_000_000);
    let plain = sent(0).await;
    let of = async |uuid: &str, timestamp| {
        let headers = epistula::sign(&*alice, &plain.body, &to, timestamp, uuid)
            .await
            .unwrap();
        Sent {
            headers,
            ..plain.clone()
        }
    };
    let uuid = "0b8e2f3a-5c1d-4e6f-8a9b-0c1d2e3f4a5b";
    let first = of(uuid, now).await;
    assert!(first.checked(&verifier).is_ok());
    assert_eq!(first.checked(&verifier), refused("replayed_request"));
    assert_eq!(
        of(uuid, now + 1500).await.checked(&verifier),
        refused("replayed_request")
    );
    assert_eq!(
        of(&uuid.to_uppercase(), now).await.checked(&verifier),
        refused("replayed_request")
    );
    assert!(
        of("0b8e2f3a-5c1d-4e6f-8a9b-0c1d2e3f4a5c", now)
            .await
            .checked(&verifier)
            .is_ok()
    );
    // Its path is not signed: the same request on another is the same request.
    let elsewhere = Sent {
        target: "/v1/embeddings".to_owned(),
        ..first
    };
    assert_eq!(elsewhere.checked(&verifier), refused("replayed_request"));
    // Both protocols share one store and no name.
    let mut both = plain.clone();
    both.headers.insert(
        HeaderName::from_static("epistula-version"),
        HeaderValue::from_static("2"),
    );
    assert_eq!(both.checked(&verifier).as_ref(), Ok(alice.address()));
}
