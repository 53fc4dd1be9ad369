//! What is stored, when the node ends in the middle of something and is begun again.

use std::{fs, path::Path, time::Duration};

use serde_json::Value;
use synapse_core::{Epoch, Error, Phase};
use synapse_validator::State;
use tempfile::{TempDir, tempdir};
use tokio::time::{Instant, sleep, sleep_until};

use crate::{
    node_chain::{Fault, epoch},
    node_world::{World, run},
};

/// A state on the disk whose epoch 1 was submitted by a chain that nobody remembers.
async fn submitted() -> TempDir {
    let folder = tempdir().unwrap();
    let mut world = World::of_two();
    world.state = State::open(folder.path()).unwrap();
    let node = run(world.node());
    world.epoch(1).await;
    node.kill().await;
    assert_eq!(world.chain.weighed(), [1]);
    folder
}

fn file(folder: &Path, epoch: u64) -> std::path::PathBuf {
    folder.join(format!("epochs/{epoch:010}.json"))
}

/// Takes an epoch back to an earlier stage, as if the node had been killed there.
fn rewind(folder: &Path, stage: &str) {
    let path = file(folder, 1);
    let mut record: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    record["stage"] = stage.into();
    if matches!(stage, "open" | "closed") {
        record["opinion"] = Value::Null;
    }
    if matches!(stage, "open" | "closed" | "scored") {
        record["intent"] = Value::Null;
    }
    if stage == "open" {
        fs::remove_file(file(folder, 2)).unwrap();
    }
    fs::write(&path, serde_json::to_vec(&record).unwrap()).unwrap();
}

/// Begins a node on what is stored, while the chain is `now`, and says what it sent and what became of epoch 1.
async fn restarted(folder: &Path, now: Epoch) -> (usize, Vec<u64>, &'static str) {
    let mut world = World::of_two();
    world.state = State::open(folder).unwrap();
    world.chain.say(now);
    let node = run(world.node());
    sleep(Duration::from_secs(30)).await;
    node.stop().await.unwrap();
    let stage = world.stages()[0];
    assert_eq!(stage.0, 1);
    (world.chain.calls().len(), world.chain.weighed(), stage.1)
}

#[tokio::test(start_paused = true)]
async fn goes_on_from_each_stage_while_the_window_is_open() {
    // What was submitted is sent once more: this chain went back while the node was down.
    for stage in ["open", "closed", "scored", "intended", "submitted"] {
        let folder = submitted().await;
        rewind(folder.path(), stage);
        let went = restarted(folder.path(), epoch(1, Phase::Weighing)).await;
        assert_eq!(went, (1, vec![1], "submitted"), "{stage}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_chain_forgot_while_the_node_was_down_is_sent_again_and_else_counts_once() {
    for went_back in [false, true] {
        let mut world = World::of_two();
        let node = run(world.node());
        sleep(Duration::from_secs(8)).await;
        world.chain.weighing(1);
        sleep(Duration::from_secs(1)).await;
        node.kill().await;
        assert_eq!(world.stages()[0], (1, "submitted"));
        if went_back {
            world.chain.forget(1);
        }
        world.restarted();
        let node = run(world.node());
        sleep(Duration::from_secs(3)).await;
        node.stop().await.unwrap();
        let calls = world.chain.calls();
        assert_eq!(
            (calls.len(), &calls[0]),
            (2, &calls[1]),
            "the same operation and weights"
        );
        assert_eq!(world.chain.weighed(), [1]);
        assert_eq!(world.stages()[0], (1, "submitted"));
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_submitted_stays_so_where_the_chain_cannot_be_asked_after_a_restart() {
    let mut world = World::of_two();
    let node = run(world.node());
    sleep(Duration::from_secs(8)).await;
    world.chain.weighing(1);
    sleep(Duration::from_secs(1)).await;
    node.kill().await;
    world.restarted();
    world.chain.fail_often(
        100,
        &Error::unavailable("unreachable", "the chain cannot be reached"),
    );
    let node = run(world.node());
    sleep(Duration::from_secs(5)).await;
    world.chain.serving(2);
    sleep(Duration::from_secs(120)).await;
    node.stop().await.unwrap();
    assert_eq!(world.stages()[0], (1, "submitted"));
    assert_eq!(
        world.alerts(),
        ["submission_failing", "submission_failing is over"]
    );
}

#[tokio::test(start_paused = true)]
async fn says_of_each_stage_that_it_was_missed_once_the_window_is_over() {
    for stage in ["open", "closed", "scored"] {
        let folder = submitted().await;
        rewind(folder.path(), stage);
        let went = restarted(folder.path(), epoch(2, Phase::Serving)).await;
        assert_eq!(went, (0, vec![], "missed"), "{stage}");
    }
    let folder = submitted().await;
    rewind(folder.path(), "intended");
    let went = restarted(folder.path(), epoch(2, Phase::Serving)).await;
    assert_eq!(
        went,
        (1, vec![], "missed"),
        "nobody knew whether it was sent, so the chain was asked"
    );
}

#[tokio::test(start_paused = true)]
async fn what_was_sent_before_the_kill_counts_once() {
    for window_is_over in [false, true] {
        let mut world = World::of_two();
        world.chain.fail(Fault::TakeAndHang);
        let node = run(world.node());
        sleep(Duration::from_secs(8)).await;
        world.chain.weighing(1);
        world.chain.called().await;
        node.kill().await;
        assert_eq!(world.stages(), [(1, "intended"), (2, "open")]);
        world.restarted();
        if window_is_over {
            world.chain.serving(2);
        }
        let node = run(world.node());
        sleep(Duration::from_secs(5)).await;
        node.stop().await.unwrap();
        assert_eq!(world.chain.weighed(), [1]);
        assert_eq!(world.stages()[0], (1, "submitted"));
        let calls = world.chain.calls();
        assert_eq!(calls.len(), 2);
        assert_eq!(calls[0], calls[1], "the same operation, the same weights");
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_not_taken_before_the_kill_is_sent_after_it() {
    let mut world = World::of_two();
    world.chain.fail(Fault::Hang);
    let node = run(world.node());
    sleep(Duration::from_secs(8)).await;
    world.chain.weighing(1);
    world.chain.called().await;
    node.kill().await;
    world.restarted();
    let node = run(world.node());
    sleep(Duration::from_secs(5)).await;
    node.stop().await.unwrap();
    assert_eq!(world.chain.weighed(), [1]);
}

#[tokio::test(start_paused = true)]
async fn an_open_epoch_goes_on_with_what_was_stored_of_it() {
    let folder = tempdir().unwrap();
    let mut world = World::of_two();
    world.state = State::open(folder.path()).unwrap();
    let node = run(world.node());
    sleep(Duration::from_secs(21)).await;
    node.kill().await;
    let before = world.probes(1, "a");
    assert!(before >= 15, "{before} probes in 20 s");
    world.state = State::in_memory();
    world.restarted();
    world.state = State::open(folder.path()).unwrap();
    assert_eq!(world.probes(1, "a"), before);
    let node = run(world.node());
    sleep(Duration::from_secs(20)).await;
    node.stop().await.unwrap();
    let record = world.state.get(synapse_core::EpochId(1)).unwrap().unwrap();
    assert_eq!(record.evidence.interruptions, 1);
    let after = world.probes(1, "a");
    assert!(after >= before + 15, "{before} and then {after}");
}

#[tokio::test(start_paused = true)]
async fn what_was_open_when_the_window_began_in_its_absence_is_still_submitted() {
    let mut world = World::of_two();
    let node = run(world.node());
    sleep(Duration::from_secs(20)).await;
    node.kill().await;
    world.restarted();
    let before = world.probes(1, "a");
    world.chain.weighing(1);
    let node = run(world.node());
    sleep(Duration::from_secs(20)).await;
    node.stop().await.unwrap();
    assert_eq!(world.chain.weighed(), [1]);
    assert_eq!(
        world.probes(1, "a"),
        before,
        "what is seen now belongs to the next epoch"
    );
    assert!(world.probes(2, "a") > 10);
}

#[tokio::test(start_paused = true)]
async fn an_operator_who_ends_it_loses_nothing() {
    let world = World::of_two();
    let node = run(world.node().checkpoint_every(Duration::from_secs(3600)));
    sleep(Duration::from_secs(60)).await;
    let asked = world.miners["a"].asked();
    node.stop().await.unwrap();
    let stored = usize::try_from(world.probes(1, "a")).unwrap();
    assert!(asked - stored <= 1, "{asked} asked, {stored} stored");
}

#[tokio::test(start_paused = true)]
async fn after_a_chain_went_back_the_same_is_sent_again() {
    let world = World::of_two();
    let node = run(world.node());
    world.epoch(1).await;
    let closed = world
        .state
        .get(synapse_core::EpochId(1))
        .unwrap()
        .unwrap()
        .evidence
        .clone();
    world.chain.serving(1);
    world.chain.forget(1);
    sleep(Duration::from_secs(4)).await;
    assert_eq!(world.alerts(), ["chain_went_back"]);
    world.chain.weighing(1);
    sleep(Duration::from_secs(4)).await;
    assert_eq!(world.chain.weighed(), [1]);
    world.epoch(2).await;
    node.stop().await.unwrap();
    assert_eq!(world.chain.weighed(), [1, 2]);
    let calls = world.chain.calls();
    assert_eq!((calls.len(), &calls[0]), (3, &calls[1]));
    let record = world.state.get(synapse_core::EpochId(1)).unwrap().unwrap();
    assert_eq!(record.evidence, closed, "closed evidence does not change");
    assert_eq!(world.alerts(), ["chain_went_back", "chain_went_back is over"]);
}

#[tokio::test(start_paused = true)]
async fn a_window_that_was_missed_and_comes_back_is_used() {
    let world = World::of_two();
    let node = run(world.node());
    sleep(Duration::from_secs(8)).await;
    world.chain.serving(2);
    sleep(Duration::from_secs(4)).await;
    assert_eq!(world.stages()[0], (1, "missed"));
    world.chain.weighing(1);
    sleep(Duration::from_secs(4)).await;
    node.stop().await.unwrap();
    assert_eq!(world.chain.weighed(), [1]);
    assert_eq!(world.stages()[0], (1, "submitted"));
}

/// Three epochs of 12 s, in which the node is killed at these milliseconds and away for a while each time.
async fn killed_at(moments: [u64; 4], away: u64) {
    let mut world = World::of_two();
    let slow = || world.chain.fail(Fault::Slow(Duration::from_millis(700)));
    (0..20).for_each(|_| slow());
    let chain = world.chain.clone();
    let beats = tokio::spawn(async move {
        for id in 1..=3 {
            chain.serving(id);
            sleep(Duration::from_secs(8)).await;
            chain.weighing(id);
            sleep(Duration::from_secs(4)).await;
        }
    });
    let began = Instant::now();
    let mut node = run(world.node().checkpoint_every(Duration::from_secs(1)));
    for moment in moments {
        sleep_until(began + Duration::from_millis(moment)).await;
        node.kill().await;
        world.restarted();
        sleep(Duration::from_millis(away)).await;
        node = run(world.node().checkpoint_every(Duration::from_secs(1)));
    }
    beats.await.unwrap();
    world.chain.serving(4);
    sleep(Duration::from_secs(10)).await;
    node.stop().await.unwrap();
    assert_eq!(world.chain.weighed(), [1, 2, 3], "killed at {moments:?}");
    let stages = world.stages();
    assert!(
        stages[..3].iter().all(|(_, stage)| *stage == "submitted"),
        "{moments:?}: {stages:?}"
    );
    let calls = world.chain.calls();
    for (operation, _, weights) in &calls {
        let same = calls.iter().filter(|call| call.0 == *operation);
        assert!(same.clone().all(|call| call.2 == *weights), "{moments:?}");
    }
}

#[test]
fn killed_at_200_moments_it_submits_each_epoch_once() {
    // A multiplicative generator (Lehmer 1951): the same moments each time.
    let mut random = 1_u64;
    let mut below = |end: u64| {
        random = random * 48_271 % 2_147_483_647;
        random % end
    };
    for _ in 0..50 {
        // One in the first epoch, one in the second, one while the third is weighed, and one anywhere.
        let mut moments = [
            below(11_000),
            12_000 + below(11_000),
            24_000 + 8_000 + below(2_000),
            below(34_000),
        ];
        moments.sort_unstable();
        let away = below(800);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(killed_at(moments, away));
    }
}

#[tokio::test(start_paused = true)]
async fn says_that_what_is_stored_is_ahead_of_the_chain_until_that_is_there() {
    let folder = tempdir().unwrap();
    let mut world = World::of_two();
    world.state = State::open(folder.path()).unwrap();
    let node = run(world.node());
    world.epoch(16).await;
    node.stop().await.unwrap();
    drop(world);
    let mut world = World::of_two();
    world.state = State::open(folder.path()).unwrap();
    world.chain.serving(13);
    let node = world.node();
    let status = node.status();
    let node = run(node);
    sleep(Duration::from_secs(3)).await;
    assert_eq!(world.alerts(), ["chain_went_back"]);
    let alert = status.current().alerts[0].clone();
    let text = "what is stored is of epoch 17, and the chain is at epoch 13: until it is past the stored one, no new weights are \
                submitted";
    assert_eq!(alert.text, text);
    assert!(
        alert.hint.contains("give the node an empty directory"),
        "{}",
        alert.hint
    );
    for id in 14..=15 {
        world.epoch(id).await;
    }
    world.chain.serving(16);
    sleep(Duration::from_secs(3)).await;
    assert_eq!(world.alerts(), ["chain_went_back"], "not before it is there");
    world.epoch(17).await;
    node.stop().await.unwrap();
    assert_eq!(world.chain.weighed(), [17]);
    assert_eq!(world.alerts(), ["chain_went_back", "chain_went_back is over"]);
}
