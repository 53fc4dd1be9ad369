//! What a node shows of itself, and tells its miners.

use std::time::Duration;

use synapse_core::{CallerId, EpochId, Error, Input, Message};
use synapse_validator::{
    State,
    node::{MinerState, ValidatorStatus},
};
use tokio::time::sleep;

use crate::{
    fleet::{Miner, read},
    node_world::{World, run},
};

#[tokio::test(start_paused = true)]
async fn the_status_shows_each_miner_and_what_became_of_the_last_epoch() {
    let failing = Miner::failing(Error::internal("broken", "it always fails"));
    let world = World::of([("a", Miner::good()), ("b", failing), ("d", Miner::down())]);
    let node = world.node();
    let status = node.status();
    let node = run(node);
    world.epoch(1).await;
    world.chain.leave("b");
    world.chain.serving(2);
    sleep(Duration::from_secs(5)).await;
    let now = status.current();
    assert_eq!((now.subnet.0, now.validator.as_str()), (7, "validator"));
    assert_eq!(now.epoch.unwrap().id, EpochId(2));
    assert_eq!((now.block.0, now.blocks_left, now.members), (20, 10, 3));
    assert_eq!((now.gathering, now.scored), (Some(EpochId(2)), Some(EpochId(1))));
    assert!(now.standing.may_weigh());
    assert_eq!((now.policy.as_str(), now.policy_version), ("answered", 3));
    let last = now.last.clone().unwrap();
    assert_eq!(
        (last.epoch.0, last.outcome.as_str(), last.weights),
        (1, "submitted", 1)
    );
    let [a, b, d] = &now.miners[..] else {
        panic!("three miners, one of which left")
    };
    assert_eq!(
        (a.state, b.state, d.state),
        (MinerState::Ready, MinerState::Left, MinerState::NotReady)
    );
    assert_eq!(
        (a.weight, a.share_ppm, b.weight),
        (Some(65_535), Some(1_000_000), None)
    );
    assert!(a.score.unwrap().value > 1.0);
    assert!(a.reason.as_ref().unwrap().ends_with("answered"));
    assert_eq!((a.answered, a.failed), (a.asked, 0));
    assert!(a.asked > 0 && b.failed > 0 && d.failed > 0);
    assert!(a.seen_secs_ago.unwrap() <= 3);
    assert_eq!(d.seen_secs_ago, None);
    assert_eq!(now.alerts, []);
    let text = serde_json::to_string(&*now).unwrap();
    assert_eq!(serde_json::from_str::<ValidatorStatus>(&text).unwrap(), *now);
    node.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_miner_is_told_what_his_score_was_made_of() {
    let world = World::of_two();
    let node = world.node();
    let book = node.book();
    let no_epoch = book.report(&"a".into(), None).await.unwrap_err();
    assert_eq!(no_epoch.code(), "no_such_epoch");
    let pool = std::sync::Arc::new(world.pool());
    let node = run(node.pool(pool.clone()));
    sleep(Duration::from_secs(2)).await;
    for caller in ["alice", "bob"] {
        let mut input = Input::chat("m", [Message::user("hello")]);
        input
            .extensions_mut()
            .insert(synapse_core::Caller::new(CallerId::from(caller)));
        let output = synapse_core::InferenceModule::run_inference(&*pool, input)
            .await
            .unwrap();
        read(output).await.unwrap();
    }
    world.epoch(1).await;
    let report = book.report(&"a".into(), None).await.unwrap();
    assert_eq!(
        (report.epoch.0, report.policy.as_str(), report.policy_version),
        (1, "answered", 3)
    );
    assert_eq!(
        (report.weight, report.outcome.as_str()),
        (Some(65_535), "submitted")
    );
    assert!(report.score.unwrap() > 0.0);
    let callers = report.evidence["users"].as_object().unwrap();
    assert_eq!(callers.keys().collect::<Vec<_>>(), ["caller-1", "caller-2"]);
    assert!(!report.evidence.to_string().contains("alice"));
    let nothing = book.report(&"b".into(), Some(EpochId(1))).await.unwrap();
    assert_eq!((nothing.score, nothing.weight), (Some(0.0), None));
    let unknown = book.report(&"nobody".into(), None).await.unwrap_err();
    assert_eq!(unknown.code(), "unknown_miner");
    let too_new = book.report(&"a".into(), Some(EpochId(2))).await.unwrap_err();
    assert_eq!(too_new.code(), "no_such_epoch");
    let summary = book.summary().await.unwrap();
    assert_eq!((summary.epoch.0, summary.miners), (1, 1));
    assert!(summary.first_content_us.is_some());
    node.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn old_epochs_are_read_from_the_disk_for_as_many_as_ask() {
    let folder = tempfile::tempdir().unwrap();
    let mut world = World::of_two();
    world.state = State::open(folder.path()).unwrap();
    let node = world.node();
    let book = node.book();
    let node = run(node);
    for id in 1..=12 {
        world.epoch(id).await;
    }
    let asked = (0..60).map(|at| {
        let book = book.clone();
        async move { book.report(&"a".into(), Some(EpochId(1 + at % 12))).await }
    });
    let reports = futures_util::future::join_all(asked).await;
    for (at, report) in (0..).zip(reports) {
        let report = report.unwrap();
        assert_eq!(
            (report.epoch.0, report.outcome.as_str()),
            (1 + at % 12, "submitted")
        );
    }
    node.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn who_asks_of_an_epoch_that_came_to_nothing_hears_why() {
    let world = World::of([("b", Miner::failing(Error::internal("broken", "it always fails")))]);
    let node = world.node();
    let book = node.book();
    let node = run(node);
    world.epoch(1).await;
    let report = book.report(&"b".into(), None).await.unwrap();
    assert!(report.outcome.starts_with("no opinion: "), "{}", report.outcome);
    assert_eq!(report.reasons[0].text, "0 answered");
    node.stop().await.unwrap();
}
