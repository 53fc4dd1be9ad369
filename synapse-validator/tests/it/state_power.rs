//! A power cut at the moment at which weights are sent.

use std::time::Duration;

use synapse_validator::{
    State,
    state::{Stage, cut_power, skip_syncs},
};
use tempfile::tempdir;
use tokio::time::sleep;

use crate::{
    node_chain::Fault,
    node_world::{World, run},
};

/// How far epoch 1 was after the power was cut as its weights were being sent; `None` where nothing is left of it.
async fn stage_after_a_power_cut(syncs: bool) -> Option<Stage> {
    let folder = tempdir().unwrap();
    let mut world = World::of_two();
    world.state = State::open(folder.path()).unwrap();
    if !syncs {
        skip_syncs(folder.path());
    }
    world.chain.fail(Fault::TakeAndHang);
    let node = run(world.node());
    sleep(Duration::from_secs(8)).await;
    world.chain.weighing(1);
    world.chain.called().await;
    node.kill().await;
    cut_power(folder.path());
    let first = State::read(folder.path()).unwrap().next()?;
    first.ok().map(|record| record.stage)
}

#[tokio::test(start_paused = true)]
async fn what_is_sent_was_stored_before() {
    assert_eq!(stage_after_a_power_cut(true).await, Some(Stage::Intended));
}

/// Or the test above would not show that anything is synced.
#[tokio::test(start_paused = true)]
async fn without_syncs_it_would_be_lost() {
    assert_eq!(stage_after_a_power_cut(false).await, None);
}
