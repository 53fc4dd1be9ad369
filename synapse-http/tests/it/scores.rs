//! A validator's scores over HTTP: each miner its own, signed, and nothing that is not the validator's believed.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use axum::{Router, response::Response, routing::get};
use bytes::Bytes;
use http::Method;
use synapse_core::{
    EpochId, Error, ErrorKind, NodeId, Reason, ScoreBook, ScoreReport, SubnetId, SubnetSummary, async_trait,
    keys::Keypair,
    testkit::{Echo, ManualClock},
};
use synapse_http::{
    Api, Scores, ScoresClient, router,
    scores::{check_report, check_summary},
    signed::btauth::{self, Content},
};

use crate::{
    server::{Reply, Running, start},
    signed::{SIGNED_AT, address, at, bob, key},
};

pub(crate) const SIGNATURE: &str = "x-synapse-signature";

/// Bob's: Charlie and Alice were judged in epochs 6 and 7.
struct Book(BTreeMap<(NodeId, EpochId), ScoreReport>);

impl Book {
    fn new() -> Self {
        let mut reports = BTreeMap::new();
        for (name, score) in [("//Charlie", 0.5), ("//Alice", 0.25)] {
            for epoch in [EpochId(6), EpochId(7)] {
                let mut report = ScoreReport::new(SubnetId(7), address("//Bob"), epoch, address(name));
                report.score = Some(score);
                report.reasons = vec![Reason::new("availability", "answered 1 of 2").with_factor(score)];
                reports.insert((report.miner.clone(), epoch), report);
            }
        }
        Self(reports)
    }
}

#[async_trait]
impl ScoreBook for Book {
    async fn report(&self, miner: &NodeId, epoch: Option<EpochId>) -> Result<ScoreReport, Error> {
        let found = self.0.get(&(miner.clone(), epoch.unwrap_or(EpochId(7))));
        let missing = || Error::new(ErrorKind::NotFound, "no_such_epoch", "it was not scored");
        found.cloned().ok_or_else(missing)
    }

    async fn summary(&self) -> Result<SubnetSummary, Error> {
        let mut summary = SubnetSummary::new(SubnetId(7), address("//Bob"), EpochId(7));
        summary.miners = 2;
        Ok(summary)
    }
}

/// Bob with his scores beside a gateway that demands no signature.
pub(crate) async fn validator() -> Running {
    let scores = Scores::new(Arc::new(Book::new()), key("//Bob"), bob().0);
    start(router(Echo::new()).scores(scores)).await
}

pub(crate) fn client(signer: Arc<Keypair>, running: &Running) -> ScoresClient {
    let clock = Arc::new(ManualClock::at(at(SIGNED_AT)));
    ScoresClient::new(format!("http://{}", running.address), address("//Bob"), signer)
        .subnet(SubnetId(7))
        .with(|builder| builder.wall_clock(clock))
}

/// The headers of a request for `target` by `signer` to `receiver`, as lines.
async fn lines(signer: &Keypair, receiver: &str, target: &str) -> String {
    let (method, body) = (&Method::GET, &b""[..]);
    let content = Content { method, target, body };
    let headers = btauth::sign(signer, content, Some(&address(receiver)), SIGNED_AT).await;
    let line = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
        format!("{name}: {}\r\n", value.to_str().unwrap())
    };
    headers.unwrap().iter().map(line).collect()
}

async fn sent(running: &Running, headers: &str, target: &str) -> Reply {
    let head = format!("GET {target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}\r\n");
    running.exchange(head).await
}

#[tokio::test]
async fn a_miner_gets_its_own_report_and_keeps_it_as_proof() {
    let running = validator().await;
    for (name, score) in [("//Charlie", 0.5), ("//Alice", 0.25)] {
        let client = client(key(name), &running);
        let last = client.report(None).await.unwrap();
        assert_eq!(
            (last.value().epoch, last.value().score),
            (EpochId(7), Some(score))
        );
        assert_eq!(last.value().miner, address(name));
        let before = client.report(Some(EpochId(6))).await.unwrap();
        assert_eq!(before.value().epoch, EpochId(6));

        let kept = (before.body().clone(), before.signature().to_owned());
        assert_eq!(check_report(kept.0, &kept.1).unwrap().value(), before.value());
    }
}

#[tokio::test]
async fn a_summary_is_for_everybody_and_signed() {
    let running = validator().await;
    let reply = running.get("/synapse/v1/summary").await;
    assert_eq!(reply.status, 200);
    let said = client(key("//Dave"), &running).summary().await.unwrap();
    assert_eq!(said.value().miners, 2);
    assert_eq!(reply.raw, said.body().to_vec());
    check_summary(said.body().clone(), said.signature()).unwrap();
}

#[tokio::test]
async fn what_is_not_asked_for_as_it_must_be_is_refused() {
    for (target, refusal) in [
        ("/synapse/v1/score?epoch=9", (404, "no_such_epoch")),
        ("/synapse/v1/score?epoch=", (400, "invalid_epoch")),
        ("/synapse/v1/score?epoch=%2B7", (400, "invalid_epoch")),
        ("/synapse/v1/score?epoch=+7", (400, "invalid_epoch")),
        (
            "/synapse/v1/score?epoch=18446744073709551616",
            (400, "invalid_epoch"),
        ),
        ("/synapse/v1/score?epoch=7&epoch=6", (400, "invalid_epoch")),
        (
            "/synapse/v1/score?epoch=7&miner=5Another",
            (400, "unknown_parameter"),
        ),
    ] {
        // One request, one nonce: each to a server of its own.
        let running = validator().await;
        let headers = lines(&key("//Charlie"), "//Bob", target).await;
        let reply = sent(&running, &headers, target).await;
        assert_eq!((reply.status, &*reply.code()), refusal, "{target}");
        assert_eq!(reply.header(SIGNATURE), None);
    }
    let reply = validator().await.post("/synapse/v1/summary", "{}").await;
    assert_eq!((reply.status, &*reply.code()), (405, "method_not_allowed"));
}

#[tokio::test]
async fn a_report_is_for_whoever_signs_the_request_now_and_for_this_validator() {
    let running = validator().await;
    let target = "/synapse/v1/score";
    let charlie = lines(&key("//Charlie"), "//Bob", target).await;
    // Charlie's headers in Alice's name, and with a signature of another request.
    let alices = charlie.replace(address("//Charlie").as_str(), address("//Alice").as_str());
    let others = lines(&key("//Charlie"), "//Bob", "/v1/models").await;
    for (headers, code) in [
        (String::new(), "malformed_auth"),
        (lines(&key("//Dave"), "//Bob", target).await, "unknown_caller"),
        (
            lines(&key("//Charlie"), "//Alice", target).await,
            "wrong_receiver",
        ),
        (alices, "bad_signature"),
        (others, "bad_signature"),
    ] {
        let reply = sent(&running, &headers, target).await;
        assert_eq!((reply.status, &*reply.code()), (401, code));
        assert!(reply.header("x-synapse-clock").is_some(), "{code}");
    }
    let reply = sent(&running, &charlie, target).await;
    assert_eq!(
        (reply.status, &reply.json()["miner"]),
        (200, &address("//Charlie").as_str().into())
    );
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    let again = sent(&running, &charlie, target).await;
    assert_eq!((again.status, &*again.code()), (401, "replayed_request"));
    let headers = lines(&key("//Alice"), "//Bob", target).await + "content-length: 1\r\n";
    assert_eq!(sent(&running, &headers, target).await.status, 413);
}

#[tokio::test]
async fn the_rest_of_the_api_stays_unsigned() {
    let running = validator().await;
    let reply = running
        .post("/v1/chat/completions", &crate::server::chat(false))
        .await;
    assert_eq!(reply.status, 200);
}

/// Somebody who answers for Bob.
async fn instead(body: impl Into<Bytes>, signature: &str) -> Running {
    let (body, signature) = (body.into(), signature.to_owned());
    let answer = move || {
        let reply = Response::builder().header(SIGNATURE, &signature);
        let reply = reply.body(axum::body::Body::from(body.clone())).unwrap();
        async move { reply }
    };
    let routes = Router::new()
        .route("/synapse/v1/score", get(answer.clone()))
        .route("/synapse/v1/summary", get(answer));
    start(Api::from(routes)).await
}

async fn refusal(running: &Running, epoch: Option<EpochId>) -> Error {
    let client = client(key("//Charlie"), running);
    client.report(epoch).await.unwrap_err()
}

#[tokio::test]
async fn what_the_validator_did_not_sign_is_not_believed() {
    let running = validator().await;
    let charlies = client(key("//Charlie"), &running);
    let good = charlies.report(Some(EpochId(7))).await.unwrap();
    let better = String::from_utf8(good.body().to_vec())
        .unwrap()
        .replace("0.5", "0.9");
    let spaced = format!("{} ", String::from_utf8_lossy(good.body()));
    let summary = charlies.summary().await.unwrap();
    let sixth = charlies.report(Some(EpochId(6))).await.unwrap();
    let alices = client(key("//Alice"), &running).report(None).await.unwrap();
    // Bob's own words of a report that another validator signs.
    let mut of_dave = good.value().clone();
    of_dave.validator = address("//Dave");
    let of_dave = serde_json::to_vec(&of_dave).unwrap();
    let digits = good.signature().rsplit_once(' ').unwrap().1;
    for (what, body, signature, code) in [
        (
            "another body",
            Bytes::from(better),
            good.signature(),
            "bad_signature",
        ),
        ("one more space", spaced.into(), good.signature(), "bad_signature"),
        ("no signature", good.body().clone(), "", "bad_signature"),
        ("half a signature", good.body().clone(), digits, "bad_signature"),
        (
            "another epoch's signature",
            good.body().clone(),
            sixth.signature(),
            "bad_signature",
        ),
        (
            "a summary's signature",
            good.body().clone(),
            summary.signature(),
            "bad_signature",
        ),
        (
            "another validator",
            of_dave.into(),
            good.signature(),
            "bad_signature",
        ),
        (
            "no report",
            summary.body().clone(),
            summary.signature(),
            "invalid_report",
        ),
        ("no JSON", "report".into(), good.signature(), "invalid_report"),
        (
            "another's report",
            alices.body().clone(),
            alices.signature(),
            "wrong_report",
        ),
        (
            "another epoch's report",
            sixth.body().clone(),
            sixth.signature(),
            "wrong_report",
        ),
        (
            "too much",
            vec![b' '; (1 << 20) + 1].into(),
            good.signature(),
            "reply_too_large",
        ),
    ] {
        let error = refusal(&instead(body, signature).await, Some(EpochId(7))).await;
        assert_eq!(error.code(), code, "{what}: {error}");
    }
}

#[tokio::test]
async fn a_refusal_comes_through_to_the_miner() {
    let running = validator().await;
    let error = client(key("//Charlie"), &running)
        .report(Some(EpochId(9)))
        .await
        .unwrap_err();
    assert_eq!(
        (error.kind(), error.code()),
        (ErrorKind::NotFound, "no_such_epoch")
    );
    let error = client(key("//Dave"), &running).report(None).await.unwrap_err();
    assert_eq!(error.code(), "unknown_caller");
}

#[tokio::test]
async fn a_validator_that_says_nothing_is_not_waited_for_long() {
    let routes = Router::new().route("/synapse/v1/score", get(std::future::pending::<()>));
    let running = start(Api::from(routes)).await;
    let client =
        client(key("//Charlie"), &running).with(|builder| builder.head_timeout(Duration::from_millis(50)));
    assert_eq!(client.report(None).await.unwrap_err().code(), "head_timeout");
}
