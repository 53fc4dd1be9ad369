//! Our client: what it signs, and what it says where its signature is refused.

use std::sync::Arc;

use synapse_core::{
    Connect, Endpoint, Error, ErrorKind, InferenceModule, Input, Member, Message, NodeId, Retry, Role, Stake,
    async_trait,
    keys::{Keypair, Scheme, Signature, Signer},
    testkit::{self, Echo, ManualClock},
};
use synapse_http::{Api, SignedHttp, Verifier, client::Upstream, router};

use super::{SIGNED_AT, address, at, bob, edwards, key};
use crate::server::{Running, start};

/// The time of the vectors, moved on (back, where it is negative).
fn clock(millis: i64) -> Arc<ManualClock> {
    Arc::new(ManualClock::at(at(
        SIGNED_AT.saturating_add_signed(millis * 1_000_000)
    )))
}

fn signing(signer: impl Signer, millis: i64) -> SignedHttp {
    SignedHttp::new(signer).with(|builder| builder.allow_loopback(true).wall_clock(clock(millis)))
}

fn reach(connect: &SignedHttp, node: &NodeId, running: &Running, path: &str) -> Arc<dyn InferenceModule> {
    let endpoint = Endpoint::http(&format!("http://{}{path}", running.address)).unwrap();
    let member = Member::new(node.clone(), Role::Miner).with_endpoint(endpoint);
    connect.connect(&member).unwrap()
}

async fn ask(module: &dyn InferenceModule) -> Result<(), Error> {
    let input = Input::chat("echo", [Message::user("one two three")]);
    module.run_inference(input).await.map(drop)
}

#[tokio::test]
async fn a_member_behind_signatures_passes_the_behaviour_suite() {
    let running = start(router(Echo::new()).signed(bob().0)).await;
    for signer in [key("//Alice"), edwards("//Alice")] {
        let module = reach(&signing(signer, 0), &address("//Bob"), &running, "");
        testkit::conformance(module).await.assert();
    }
}

#[tokio::test]
async fn a_path_before_the_members_own_is_signed_too() {
    let nested = axum::Router::new().nest("/subnet", router(Echo::new()).signed(bob().0).into_router());
    let running = start(Api::from(nested)).await;
    let module = reach(
        &signing(key("//Alice"), 0),
        &address("//Bob"),
        &running,
        "/subnet",
    );
    module.initialize().await.unwrap();
    ask(&*module).await.unwrap();
}

/// A signer of garbage.
#[derive(Debug)]
struct Forger(Keypair);

#[async_trait]
impl Signer for Forger {
    fn address(&self) -> &NodeId {
        self.0.address()
    }

    fn scheme(&self) -> Scheme {
        self.0.scheme()
    }

    async fn sign(&self, message: &[u8]) -> Result<Signature, Error> {
        Ok(self.0.sign_now(&message[1..]))
    }
}

fn assert_told(error: &Error, code: &str, ours: &str) {
    assert_eq!(error.code(), code, "{error}");
    assert_eq!(
        (error.kind(), error.retry()),
        (ErrorKind::Unavailable, Retry::Elsewhere),
        "{code}"
    );
    let its = "its clock 2025-07-09T16:00:00.000Z";
    for told in [
        &format!("signed at {ours}"),
        &format!("our clock now {ours}"),
        its,
    ] {
        assert!(error.message().contains(told), "{code}: {told:?} in {error}");
    }
    assert!(!error.to_string().contains("verification failed"), "{error}");
    assert_eq!(
        Upstream::of(error).and_then(Upstream::status),
        Some(http::StatusCode::UNAUTHORIZED)
    );
}

#[tokio::test]
async fn every_refusal_keeps_its_code_and_names_both_clocks() {
    type Verify = fn(Verifier) -> Verifier;
    let now = "2025-07-09T16:00:00.000Z";
    let cases: [(&str, SignedHttp, &str, Verify, &str); 7] = [
        (
            "stale_request",
            signing(key("//Alice"), -11_000),
            "//Bob",
            |v| v,
            "2025-07-09T15:59:49.000Z",
        ),
        (
            "stale_request",
            signing(key("//Alice"), 3_000),
            "//Bob",
            |v| v,
            "2025-07-09T16:00:03.000Z",
        ),
        ("unknown_caller", signing(key("//Dave"), 0), "//Bob", |v| v, now),
        (
            "insufficient_stake",
            signing(key("//Charlie"), 0),
            "//Bob",
            |v| v.min_stake(Stake(6)),
            now,
        ),
        (
            "wrong_receiver",
            signing(key("//Alice"), 0),
            "//Charlie",
            |v| v,
            now,
        ),
        (
            "malformed_auth",
            signing(key("//Alice"), 0),
            "//Bob",
            |v| v.schemes([Scheme::Ed25519]),
            now,
        ),
        (
            "bad_signature",
            signing(Forger(Keypair::from_uri(Scheme::Sr25519, "//Alice").unwrap()), 0),
            "//Bob",
            |v| v,
            now,
        ),
    ];
    for (code, connect, member, verifier, ours) in cases {
        let running = start(router(Echo::new()).signed(verifier(bob().0))).await;
        let module = reach(&connect, &address(member), &running, "");
        assert_told(&ask(&*module).await.unwrap_err(), code, ours);
        assert_told(&module.initialize().await.unwrap_err(), code, ours);
    }
}

#[tokio::test]
async fn a_replay_is_told_as_one() {
    let running = start(router(Echo::new()).signed(bob().0)).await;
    // Two clients with one key and one clock, which stands still: both use the same nonce.
    let [first, second] = [0, 0].map(|millis| signing(key("//Alice"), millis));
    ask(&*reach(&first, &address("//Bob"), &running, ""))
        .await
        .unwrap();
    let error = ask(&*reach(&second, &address("//Bob"), &running, ""))
        .await
        .unwrap_err();
    assert_told(&error, "replayed_request", "2025-07-09T16:00:00.000Z");
}

#[tokio::test]
async fn clocks_that_are_apart_are_what_the_hint_is_about() {
    let running = start(router(Echo::new()).signed(bob().0)).await;
    let module = reach(&signing(key("//Alice"), 3_000), &address("//Bob"), &running, "");
    let error = ask(&*module).await.unwrap_err();
    assert!(
        error.hint().is_some_and(|hint| hint.contains("clocks")),
        "{error}"
    );
}

#[tokio::test]
async fn a_nonce_is_used_once_even_on_a_clock_that_stands_or_goes_back() {
    let running = start(router(Echo::new()).signed(bob().0)).await;
    let connect = signing(key("//Alice"), 0);
    let module = reach(&connect, &address("//Bob"), &running, "");
    for _ in 0..20 {
        ask(&*module).await.unwrap();
    }
    let asked = (0..20).map(|_| ask(&*module));
    for answer in futures_util::future::join_all(asked).await {
        answer.unwrap();
    }
    // The same signer, its clock an hour ahead and then right again: nonces follow.
    let ahead = connect
        .clone()
        .with(|builder| builder.wall_clock(clock(3_600_000)));
    let refused = ask(&*reach(&ahead, &address("//Bob"), &running, "")).await;
    assert_eq!(refused.unwrap_err().code(), "stale_request");
    ask(&*reach(
        &connect.with(|builder| builder.wall_clock(clock(1))),
        &address("//Bob"),
        &running,
        "",
    ))
    .await
    .unwrap();
}

#[test]
fn a_key_that_requests_are_not_signed_with_is_refused_at_once() {
    let key = Keypair::generate(Scheme::Secp256k1).unwrap();
    let member = Member::new(address("//Bob"), Role::Miner)
        .with_endpoint(Endpoint::http("http://127.0.0.1:9").unwrap());
    let error = SignedHttp::new(key).connect(&member).err().unwrap();
    assert_eq!(error.code(), "unsupported_scheme");
}
