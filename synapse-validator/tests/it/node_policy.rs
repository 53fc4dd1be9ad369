//! Policies that are wrong.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use synapse_validator::{
    evidence::EpochEvidence,
    score::{Estimate, Score, Scores},
};
use tokio::time::sleep;

use crate::{
    fleet::Miner,
    node_world::{Told, World, run},
};

fn all(evidence: &EpochEvidence, value: f64) -> Scores {
    let score = |miner: &synapse_core::NodeId| Score::new(miner.clone(), Estimate::exact(value), Vec::new());
    Scores::new(evidence.miners.iter().map(|miner| score(&miner.miner)))
}

/// A good epoch, one in which the policy does as `wrong` says and `a` leaves, and a good one again.
async fn check(wrong: impl Fn(&EpochEvidence) -> Scores + Send + Sync + 'static, says: &str) {
    let world = World::of([("a", Miner::good()), ("c", Miner::good())]);
    let policy = Told(move |evidence: &EpochEvidence| match evidence.epoch.0 {
        2 => wrong(evidence),
        _ => all(evidence, 2.0),
    });
    let node = run(world.node_by(policy).policy_within(Duration::from_millis(500)));
    world.epoch(1).await;
    world.chain.leave("a");
    world.epoch(2).await;
    assert_eq!(world.alerts(), ["policy_fault"], "{says}");
    world.epoch(3).await;
    node.stop().await.unwrap();
    assert_eq!(world.alerts(), ["policy_fault", "policy_fault is over"], "{says}");
    let weight = |name: &str| (name.to_owned(), u16::MAX);
    assert_eq!(
        world.chain.taken(),
        [
            (1, vec![weight("a"), weight("c")]),
            (2, vec![weight("c")]),
            (3, vec![weight("c")])
        ],
        "{says}"
    );
    let record = world.state.get(synapse_core::EpochId(2)).unwrap().unwrap();
    let intent = record.intent.clone().unwrap();
    assert_eq!(intent.from_epoch, Some(synapse_core::EpochId(1)));
    assert!(
        record.fault.as_ref().unwrap().contains(says),
        "{:?}",
        record.fault
    );
}

#[tokio::test(start_paused = true)]
async fn one_that_panics_leaves_the_last_good_weights() {
    check(|_| panic!("injected"), "panicked").await;
}

#[tokio::test(start_paused = true)]
async fn one_that_returns_nan_leaves_the_last_good_weights() {
    check(|evidence| all(evidence, f64::NAN), "").await;
}

#[tokio::test(start_paused = true)]
async fn one_that_returns_negatives_leaves_the_last_good_weights() {
    check(|evidence| all(evidence, -1.0), "").await;
}

#[tokio::test(start_paused = true)]
async fn one_that_names_strangers_leaves_the_last_good_weights() {
    let stranger =
        |_: &EpochEvidence| Scores::new([Score::new("nobody".into(), Estimate::exact(1.0), Vec::new())]);
    check(stranger, "nobody").await;
}

#[tokio::test(start_paused = true)]
async fn one_that_takes_too_long_leaves_the_last_good_weights() {
    let slow = |evidence: &EpochEvidence| {
        std::thread::sleep(Duration::from_millis(900));
        all(evidence, 1.0)
    };
    let says = "not returned within 500ms";
    // What runs too long is still at work when the next epoch is scored, unless that takes as long to come.
    let world = World::of([("c", Miner::good())]);
    let policy = Told(move |evidence: &EpochEvidence| match evidence.epoch.0 {
        2 => slow(evidence),
        _ => all(evidence, 2.0),
    });
    let node = run(world.node_by(policy).policy_within(Duration::from_millis(500)));
    world.epoch(1).await;
    world.epoch(2).await;
    node.stop().await.unwrap();
    assert_eq!(world.chain.weighed(), [1, 2]);
    let record = world.state.get(synapse_core::EpochId(2)).unwrap().unwrap();
    assert!(
        record.fault.as_ref().unwrap().contains(says),
        "{:?}",
        record.fault
    );
}

#[tokio::test(start_paused = true)]
async fn of_those_that_never_return_there_is_one() {
    let world = World::of([("c", Miner::good())]);
    let begun = Arc::new(AtomicUsize::new(0));
    let counter = begun.clone();
    let policy = Told(move |_: &EpochEvidence| {
        counter.fetch_add(1, Ordering::SeqCst);
        loop {
            std::thread::park();
        }
    });
    let node = run(world.node_by(policy).policy_within(Duration::from_millis(50)));
    for id in 1..=4 {
        world.epoch(id).await;
    }
    node.stop().await.unwrap();
    assert_eq!(begun.load(Ordering::SeqCst), 1);
    assert_eq!(
        world.chain.calls().len(),
        0,
        "there are no good weights to fall back to"
    );
    assert_eq!(world.alerts(), ["policy_fault", "no_opinion"]);
    assert!(
        world.stages()[..4]
            .iter()
            .all(|(_, stage)| *stage == "no_opinion")
    );
}

#[tokio::test(start_paused = true)]
async fn last_good_weights_outlive_a_restart() {
    let mut world = World::of([("a", Miner::good())]);
    let node = run(world.node());
    world.epoch(1).await;
    node.kill().await;
    world.restarted();
    let node = run(world.node_by(Told(|_: &EpochEvidence| panic!("injected"))));
    world.epoch(2).await;
    world.epoch(3).await;
    sleep(Duration::from_secs(1)).await;
    node.stop().await.unwrap();
    assert_eq!(world.chain.weighed(), [1, 2, 3]);
    let of_three = world.state.get(synapse_core::EpochId(3)).unwrap().unwrap();
    let intent = of_three.intent.clone().unwrap();
    assert_eq!(
        intent.from_epoch,
        Some(synapse_core::EpochId(1)),
        "not of those that were taken over"
    );
}
