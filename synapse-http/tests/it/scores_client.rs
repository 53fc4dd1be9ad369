//! How a validator is asked for scores: at which address, over which connection, and as whom it is believed.

use std::{sync::Arc, time::Duration};

use synapse_core::{
    Endpoint, EpochId, Error, ErrorKind, Member, NodeId, Reason, Role, ScoreBook, ScoreReport, SubnetId,
    SubnetSummary, async_trait,
    testkit::{Echo, ManualClock},
};
use synapse_http::{Scores, ScoresClient, router};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use crate::{
    scores::{SIGNATURE, client, validator},
    server::start,
    signed::{SIGNED_AT, address, at, bob, key},
};

#[tokio::test]
async fn another_validators_own_report_is_not_the_expected_ones() {
    let running = validator().await;
    let clock = Arc::new(ManualClock::at(at(SIGNED_AT)));
    let url = format!("http://{}", running.address);
    let client = ScoresClient::new(url, address("//Alice"), key("//Charlie"))
        .with(|builder| builder.wall_clock(clock));
    assert_eq!(client.summary().await.unwrap_err().code(), "bad_signature");
    let error = client.report(None).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.code()),
        (ErrorKind::Unavailable, "wrong_receiver")
    );
}

#[tokio::test]
async fn what_is_said_of_another_subnet_is_refused() {
    let running = validator().await;
    let client = client(key("//Charlie"), &running).subnet(SubnetId(8));
    assert_eq!(client.report(None).await.unwrap_err().code(), "wrong_report");
    assert_eq!(client.summary().await.unwrap_err().code(), "wrong_report");
}

/// A book whose reasons somebody else chose.
struct Reasons(Vec<Reason>);

#[async_trait]
impl ScoreBook for Reasons {
    async fn report(&self, miner: &NodeId, _: Option<EpochId>) -> Result<ScoreReport, Error> {
        let mut report = ScoreReport::new(SubnetId(7), address("//Bob"), EpochId(7), miner.clone());
        report.reasons.clone_from(&self.0);
        Ok(report)
    }

    async fn summary(&self) -> Result<SubnetSummary, Error> {
        Ok(SubnetSummary::new(SubnetId(7), address("//Bob"), EpochId(7)))
    }
}

#[tokio::test]
async fn more_reasons_than_anybody_reads_are_refused() {
    let few = vec![Reason::new("claims", "kept"); 256];
    let many = vec![Reason::new("claims", "kept"); 257];
    let long = vec![Reason::new("claims", "x".repeat(4097))];
    for (reasons, taken) in [(few, true), (many, false), (long, false)] {
        let scores = Scores::new(Arc::new(Reasons(reasons)), key("//Bob"), bob().0);
        let running = start(router(Echo::new()).scores(scores)).await;
        let said = client(key("//Charlie"), &running).report(None).await;
        let refused = said.err().map(|error| error.code().to_owned());
        assert_eq!(refused.as_deref(), (!taken).then_some("invalid_report"));
    }
}

#[tokio::test]
async fn an_address_that_a_validator_wrote_is_dialled_where_that_is_allowed() {
    let running = validator().await;
    let nowhere = Member::new(address("//Bob"), Role::Validator);
    let refused = ScoresClient::listed(&nowhere, key("//Charlie")).unwrap_err();
    assert_eq!(refused.code(), "no_endpoint");
    let endpoint = Endpoint::http(&format!("http://{}", running.address)).unwrap();
    let member = nowhere.with_endpoint(endpoint);
    let clock = Arc::new(ManualClock::at(at(SIGNED_AT)));
    let client = ScoresClient::listed(&member, key("//Charlie"))
        .unwrap()
        .with(|builder| builder.wall_clock(clock));
    assert_eq!(client.report(None).await.unwrap_err().code(), "address_refused");
    let client = client.with(|builder| builder.allow_loopback(true));
    assert_eq!(client.report(None).await.unwrap().value().validator, member.node);
}

#[tokio::test]
async fn questions_of_one_client_go_over_one_connection() {
    let running = validator().await;
    let said = client(key("//Charlie"), &running).summary().await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at_url = format!("http://{}", listener.local_addr().unwrap());
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n{SIGNATURE}: {}\r\n\r\n",
        said.body().len(),
        said.signature()
    );
    let reply = [head.as_bytes(), said.body()].concat();
    // A second connection finds nobody.
    tokio::spawn(async move {
        let (mut first, _) = listener.accept().await.unwrap();
        let (mut read, mut buffer) = (Vec::new(), [0; 4096]);
        loop {
            let count = first.read(&mut buffer).await.unwrap();
            read.extend_from_slice(&buffer[..count]);
            if read.ends_with(b"\r\n\r\n") {
                read.clear();
                first.write_all(&reply).await.unwrap();
            }
        }
    });
    let client = ScoresClient::new(at_url, address("//Bob"), key("//Charlie"))
        .with(|builder| builder.head_timeout(Duration::from_secs(5)));
    for asks in [client.clone(), client] {
        assert_eq!(asks.summary().await.unwrap().value(), said.value());
    }
}
