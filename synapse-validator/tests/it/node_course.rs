//! Whatever a chain says, in whatever order, and wherever the node is killed in between.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use synapse_core::{BlockNumber, Epoch, EpochId, Phase};
use tokio::{runtime::Builder, time::sleep};

use crate::{
    node_chain::epoch,
    node_world::{World, run},
};

/// What a chain may say: two epochs, a third that only begins, and one that has no blocks.
fn words() -> Vec<Epoch> {
    let empty = Epoch::new(EpochId(2), Phase::Weighing, BlockNumber(20), BlockNumber(20));
    vec![
        epoch(1, Phase::Serving),
        epoch(1, Phase::Weighing),
        epoch(2, Phase::Serving),
        epoch(2, Phase::Weighing),
        epoch(3, Phase::Serving),
        empty,
    ]
}

/// Epochs that evidence is gathered for, and those of them that get weights.
fn expected(said: &[Epoch]) -> (BTreeSet<u64>, BTreeSet<u64>) {
    let (mut gathered, mut weighed) = (BTreeSet::from([1]), BTreeSet::new());
    for now in said.iter().filter(|now| now.starts < now.ends) {
        let mut gathers = now.id.0;
        if now.phase == Phase::Weighing {
            weighed.extend(gathered.get(&now.id.0));
            gathers += 1;
        }
        if gathered.last().is_some_and(|last| gathers > *last) {
            gathered.insert(gathers);
        }
    }
    (gathered, weighed)
}

/// Says it all, 3 s for each, and kills the node after each where it is told to.
async fn check(said: &[Epoch], kill: bool) {
    let mut world = World::of_two();
    let mut node = run(world.node().checkpoint_every(Duration::from_millis(500)));
    sleep(Duration::from_secs(3)).await;
    let mut closed: Vec<(u64, Arc<synapse_validator::evidence::EpochEvidence>)> = Vec::new();
    for now in said {
        world.chain.say(*now);
        sleep(Duration::from_secs(3)).await;
        for (id, evidence) in &closed {
            let record = world.state.get(EpochId(*id)).unwrap().unwrap();
            assert_eq!(
                record.evidence, *evidence,
                "epoch {id} changed after it was closed: {said:?}"
            );
        }
        let open = world
            .stages()
            .into_iter()
            .filter(|(_, stage)| *stage == "open")
            .count();
        assert_eq!(open, 1, "{said:?}");
        closed = world
            .stages()
            .into_iter()
            .filter(|(_, stage)| *stage != "open")
            .map(|(id, _)| {
                (
                    id,
                    world.state.get(EpochId(id)).unwrap().unwrap().evidence.clone(),
                )
            })
            .collect();
        if kill {
            node.kill().await;
            world.restarted();
            node = run(world.node().checkpoint_every(Duration::from_millis(500)));
        }
    }
    node.stop().await.unwrap();
    let (gathered, weighed) = expected(said);
    let stored: BTreeSet<u64> = world.stages().into_iter().map(|(id, _)| id).collect();
    assert_eq!(stored, gathered, "{said:?}");
    let taken: BTreeSet<u64> = world.chain.weighed().into_iter().collect();
    assert_eq!(taken, weighed, "{said:?}, killed: {kill}");
    let calls = world.chain.calls();
    for (operation, id, weights) in &calls {
        assert_eq!(*operation.as_str(), format!("weights/7/validator/{id}"));
        let same = calls
            .iter()
            .filter(|other| other.1 == *id)
            .all(|other| other.2 == *weights);
        assert!(same, "different weights for epoch {id}: {said:?}");
    }
    let counted: u64 = stored.iter().map(|id| world.probes(*id, "a")).sum();
    let asked = u64::try_from(world.miners["a"].asked()).unwrap();
    assert!(counted <= asked, "a probe counts in one epoch: {said:?}");
}

#[test]
fn every_course_of_three_words_ends_as_it_should() {
    let words = words();
    let mut courses = 0;
    for first in &words {
        for second in &words {
            for third in &words {
                for kill in [false, true] {
                    let runtime = Builder::new_current_thread()
                        .enable_all()
                        .start_paused(true)
                        .build()
                        .unwrap();
                    runtime.block_on(check(&[*first, *second, *third], kill));
                    courses += 1;
                }
            }
        }
    }
    assert_eq!(courses, 6 * 6 * 6 * 2);
}
