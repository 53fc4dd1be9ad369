//! What a state outlives, and what it refuses.

use std::{fs, path::Path, time::Duration};

use serde_json::Value;
use synapse_core::EpochId;
use synapse_validator::{ScorePolicy, StandardPolicy, State, node::AlertCode, state::Stage};
use tempfile::{TempDir, tempdir};
use tokio::time::sleep;

use crate::node_world::{World, run};

/// A state on the disk with so many epochs that were submitted, and an open one.
async fn with_epochs(count: u64) -> TempDir {
    let folder = tempdir().unwrap();
    let mut world = World::of_two();
    world.state = State::open(folder.path()).unwrap();
    let node = run(world.node_by(StandardPolicy::default()));
    for id in 1..=count {
        world.epoch(id).await;
    }
    node.stop().await.unwrap();
    folder
}

fn file(folder: &Path, epoch: u64) -> std::path::PathBuf {
    folder.join(format!("epochs/{epoch:010}.json"))
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder.join("epochs")).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.retain(|name| name != "lock");
    names.sort();
    names
}

#[tokio::test(start_paused = true)]
async fn stored_evidence_gives_the_same_scores_again_bit_for_bit() {
    let folder = tempdir().unwrap();
    let mut world = World::of_two();
    world.state = State::open(folder.path()).unwrap();
    let node = run(world.node_by(StandardPolicy::default()));
    sleep(Duration::from_secs(1)).await;
    // Numbers that a careless parser gets wrong in the last bit.
    for (name, value) in [
        ("third", 1.0 / 3.0),
        ("tiny", 2.225_073_858_507_201e-308),
        ("odd", 0.1 + 0.2),
    ] {
        world.log.measured(&"a".into(), name, value);
    }
    let seen = world
        .log
        .snapshot()
        .unwrap()
        .miner(&"a".into())
        .unwrap()
        .measures
        .clone();
    world.epoch(1).await;
    node.stop().await.unwrap();
    let read = State::read(folder.path()).unwrap().next().unwrap().unwrap();
    let bits = |measures: &std::collections::BTreeMap<String, f64>| {
        measures.values().map(|value| value.to_bits()).collect::<Vec<_>>()
    };
    assert_eq!(
        bits(&read.evidence.miner(&"a".into()).unwrap().measures),
        bits(&seen)
    );
    let stored = read.opinion.unwrap().scores;
    let again = StandardPolicy::default().score(&read.evidence);
    assert_eq!(
        serde_json::to_string(&again).unwrap(),
        serde_json::to_string(&stored).unwrap()
    );
    let bits = |scores: &synapse_validator::score::Scores| {
        scores
            .as_slice()
            .iter()
            .map(|score| score.value().to_bits())
            .collect::<Vec<_>>()
    };
    assert_eq!(bits(&again), bits(&stored));
}

#[tokio::test(start_paused = true)]
async fn anybody_may_read_while_a_node_runs() {
    let folder = tempdir().unwrap();
    let mut world = World::of_two();
    world.state = State::open(folder.path()).unwrap();
    let node = run(world.node());
    world.epoch(1).await;
    let read: Vec<_> = State::read(folder.path()).unwrap().map(Result::unwrap).collect();
    let stages: Vec<_> = read
        .iter()
        .map(|record| (record.epoch().0, record.stage.clone()))
        .collect();
    assert_eq!(stages, [(1, Stage::Submitted), (2, Stage::Open)]);
    assert_eq!(State::open(folder.path()).unwrap_err().code(), "data_dir_locked");
    node.stop().await.unwrap();
}

#[test]
fn a_folder_that_is_not_there_has_no_epochs() {
    let folder = tempdir().unwrap();
    assert_eq!(State::read(folder.path().join("none")).unwrap().count(), 0);
    assert!(!folder.path().join("none").exists());
}

#[tokio::test(start_paused = true)]
async fn only_so_many_epochs_are_kept() {
    let folder = tempdir().unwrap();
    let mut world = World::of_two();
    world.state = State::open(folder.path()).unwrap().keep(3);
    let node = run(world.node());
    for id in 1..=6 {
        world.epoch(id).await;
    }
    node.stop().await.unwrap();
    assert_eq!(
        names(folder.path()),
        ["0000000005.json", "0000000006.json", "0000000007.json"]
    );
}

#[tokio::test(start_paused = true)]
async fn an_epoch_that_cannot_be_read_is_set_aside_and_the_node_goes_on() {
    for damage in ["", "{\"version\":2", "null", "\0\0\0\0"] {
        let folder = with_epochs(2).await;
        fs::write(file(folder.path(), 2), damage).unwrap();
        let unreadable = State::read(folder.path()).unwrap().filter(Result::is_err).count();
        assert_eq!(unreadable, 1, "who only reads changes nothing");
        let mut world = World::of_two();
        world.state = State::open(folder.path()).unwrap();
        let node = run(world.node());
        world.chain.serving(3);
        sleep(Duration::from_secs(10)).await;
        assert_eq!(world.alerts(), ["state_corrupt"], "{damage:?}");
        world.chain.weighing(3);
        sleep(Duration::from_secs(4)).await;
        node.stop().await.unwrap();
        assert_eq!(world.chain.weighed(), [3]);
        let kept = fs::read_to_string(folder.path().join("epochs/0000000002.json.corrupt")).unwrap();
        assert_eq!(kept, damage);
        assert_eq!(world.alerts(), ["state_corrupt", "state_corrupt is over"]);
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_half_written_is_swept_away() {
    let folder = with_epochs(1).await;
    let aside = folder.path().join("epochs/0000000002.json.new");
    fs::write(&aside, "{\"versi").unwrap();
    assert_eq!(State::read(folder.path()).unwrap().map(Result::unwrap).count(), 2);
    drop(State::open(folder.path()).unwrap());
    assert!(!aside.exists());
}

#[tokio::test(start_paused = true)]
async fn a_state_of_another_is_refused() {
    for header_is_lost in [false, true] {
        let folder = with_epochs(1).await;
        if header_is_lost {
            fs::remove_file(folder.path().join("state.json")).unwrap();
        }
        let state = State::open(folder.path()).unwrap();
        let other =
            synapse_validator::ValidatorNode::new(crate::node_chain::Chain::new(), "other").state(state);
        let error = other.run(std::future::pending()).await.unwrap_err();
        assert_eq!(error.code(), "state_foreign");
        assert_eq!(
            error.message(),
            "this state is of the validator validator of subnet 7, and this node is other of subnet 7"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_state_of_a_newer_program_is_refused_and_left_alone() {
    let folder = with_epochs(1).await;
    let header = folder.path().join("state.json");
    let newer = r#"{"version":99,"what":"nobody knows"}"#;
    fs::write(&header, newer).unwrap();
    for error in [
        State::open(folder.path()).unwrap_err(),
        State::read(folder.path()).unwrap_err(),
    ] {
        assert_eq!(error.code(), "state_newer");
        assert!(error.message().contains("version 99"), "{error}");
    }
    assert_eq!(fs::read_to_string(&header).unwrap(), newer);
}

#[tokio::test(start_paused = true)]
async fn a_header_that_is_none_is_not_guessed() {
    let folder = with_epochs(1).await;
    fs::write(folder.path().join("state.json"), "{").unwrap();
    assert_eq!(State::open(folder.path()).unwrap_err().code(), "state_unreadable");
}

/// Version 1 did not say when a stage was reached.
#[tokio::test(start_paused = true)]
async fn what_version_1_wrote_is_migrated() {
    let folder = with_epochs(2).await;
    let before: Vec<_> = State::read(folder.path()).unwrap().map(Result::unwrap).collect();
    for path in [
        file(folder.path(), 1),
        file(folder.path(), 2),
        file(folder.path(), 3),
        folder.path().join("state.json"),
    ] {
        let mut value: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        value["version"] = 1.into();
        value.as_object_mut().unwrap().remove("since");
        fs::write(&path, value.to_string()).unwrap();
    }
    // Who reads need not wait for the migration.
    let read: Vec<_> = State::read(folder.path()).unwrap().map(Result::unwrap).collect();
    let state = State::open(folder.path()).unwrap();
    for (record, before) in read.iter().zip(&before) {
        assert_eq!(
            (record.version, &record.evidence, &record.intent),
            (2, &before.evidence, &before.intent)
        );
        assert_eq!(record.since, before.evidence.to);
        let stored: Value =
            serde_json::from_slice(&fs::read(file(folder.path(), record.epoch().0)).unwrap()).unwrap();
        assert_eq!(stored["version"], 2);
        assert_eq!(*state.get(record.epoch()).unwrap().unwrap(), *record);
    }
    let header: Value = serde_json::from_slice(&fs::read(folder.path().join("state.json")).unwrap()).unwrap();
    assert_eq!(header["version"], 2);
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_cannot_be_written_loses_nothing_and_sends_nothing_that_is_not_stored() {
    let folder = tempdir().unwrap();
    let mut world = World::of_two();
    world.state = State::open(folder.path()).unwrap();
    let node = run(world.node());
    sleep(Duration::from_secs(8)).await;
    // Where the epochs were there is a file: nothing can be written there, whoever tries.
    let (epochs, away) = (folder.path().join("epochs"), folder.path().join("away"));
    fs::rename(&epochs, &away).unwrap();
    fs::write(&epochs, "").unwrap();
    world.chain.weighing(1);
    sleep(Duration::from_secs(30)).await;
    assert_eq!(
        world.chain.calls().len(),
        0,
        "an intent is durable before it is sent"
    );
    assert_eq!(world.alerts(), ["state_unwritable"]);
    fs::remove_file(&epochs).unwrap();
    fs::rename(&away, &epochs).unwrap();
    sleep(Duration::from_secs(30)).await;
    assert_eq!(world.chain.weighed(), [1]);
    assert_eq!(world.alerts(), ["state_unwritable", "state_unwritable is over"]);
    node.stop().await.unwrap();
    let read: Vec<_> = State::read(folder.path()).unwrap().map(Result::unwrap).collect();
    assert_eq!((read[0].epoch(), &read[0].stage), (EpochId(1), &Stage::Submitted));
    assert!(read[1].evidence.miner(&"a".into()).unwrap().probes.asked > 40);
}

#[tokio::test(start_paused = true)]
async fn a_folder_that_is_gone_is_made_again_under_a_running_node() {
    let folder = tempdir().unwrap();
    let mut world = World::of_two();
    world.state = State::open(folder.path()).unwrap();
    let node = run(world.node());
    sleep(Duration::from_secs(8)).await;
    fs::remove_dir_all(folder.path().join("epochs")).unwrap();
    world.chain.weighing(1);
    sleep(Duration::from_secs(30)).await;
    assert_eq!(world.chain.weighed(), [1]);
    assert_eq!(world.alerts(), Vec::<String>::new());
    assert_eq!(State::open(folder.path()).unwrap_err().code(), "data_dir_locked");
    node.stop().await.unwrap();
    assert_eq!(names(folder.path()), ["0000000001.json", "0000000002.json"]);
}

#[tokio::test(start_paused = true)]
async fn what_was_missed_for_the_disk_says_what_to_do_about_the_disk() {
    let folder = tempdir().unwrap();
    let mut world = World::of_two();
    world.state = State::open(folder.path()).unwrap();
    let node = world.node();
    let status = node.status();
    let node = run(node);
    sleep(Duration::from_secs(8)).await;
    let (epochs, away) = (folder.path().join("epochs"), folder.path().join("away"));
    fs::rename(&epochs, &away).unwrap();
    fs::write(&epochs, "").unwrap();
    world.chain.weighing(1);
    sleep(Duration::from_secs(30)).await;
    world.chain.serving(2);
    sleep(Duration::from_secs(30)).await;
    let alerts = status.current().alerts.clone();
    let missed = alerts.iter().find(|alert| alert.code == AlertCode::WeightsMissed);
    let hint = &missed.unwrap().hint;
    assert!(hint.starts_with("make room on the disk"), "{hint}");
    node.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn all_that_cannot_be_read_is_set_aside_and_counted_once() {
    let folder = with_epochs(14).await;
    for epoch in [1, 2, 3, 4, 14] {
        fs::write(file(folder.path(), epoch), "{").unwrap();
    }
    let mut world = World::of_two();
    world.state = State::open(folder.path()).unwrap();
    let node = world.node();
    let status = node.status();
    let node = run(node);
    world.chain.serving(15);
    sleep(Duration::from_secs(10)).await;
    assert_eq!(world.alerts(), ["state_corrupt"]);
    let alerts = status.current().alerts.clone();
    assert_eq!(
        alerts[0].text,
        "5 stored epochs cannot be read, and were set aside: 14, 4, 3 and 2 more"
    );
    let aside = names(folder.path())
        .into_iter()
        .filter(|name| name.ends_with(".corrupt"));
    assert_eq!(aside.count(), 5);
    world.chain.weighing(15);
    sleep(Duration::from_secs(4)).await;
    node.stop().await.unwrap();
    assert_eq!(world.alerts(), ["state_corrupt", "state_corrupt is over"]);
}
