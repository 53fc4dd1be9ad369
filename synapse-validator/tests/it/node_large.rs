//! A subnet with as many miners as there may be, each of which has some users.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant, SystemTime},
};

use synapse_core::{BlockNumber, EpochId, NodeId, SubnetId};
use synapse_validator::{
    State,
    evidence::{EpochEvidence, MinerEvidence},
};
use tempfile::tempdir;
use tokio::time::sleep;

use crate::{
    node_chain::{Chain, VALIDATOR},
    node_world::{World, run},
};

const MINERS: usize = 4096;
const CALLERS: usize = 4;

/// Evidence of them all: a thousand requests of each caller.
fn seen() -> EpochEvidence {
    let mut seen = EpochEvidence::new(SubnetId(7), VALIDATOR.into(), EpochId(1), BlockNumber(10));
    seen.miners = (0..MINERS).map(|number| miner(&name(number))).collect();
    seen
}

fn name(number: usize) -> String {
    format!("miner-{number:04}")
}

fn miner(name: &str) -> MinerEvidence {
    let mut miner = MinerEvidence::new(name.into());
    for caller in 0..CALLERS {
        let tally = miner.users.entry(format!("caller-{caller}").into()).or_default();
        (tally.asked, tally.answered) = (1000, 1000);
        for value in 0..1000 {
            tally.first_content_us.add(200_000 + value * 700);
            tally.speed_mtps.add(30_000 + value * 40);
        }
    }
    miner
}

fn written(folder: &Path) -> SystemTime {
    let file = folder.join("epochs/0000000001.json");
    fs::metadata(file).unwrap().modified().unwrap()
}

/// What a node does every second and every five, for each of 4,096 miners; how long it takes is printed.
#[tokio::test(start_paused = true)]
async fn with_4096_miners_nothing_is_copied_or_written_where_nothing_changed() {
    let folder = tempdir().unwrap();
    let mut world = World::of([]);
    world.chain = Chain::new();
    world.state = State::open(folder.path()).unwrap();
    // Nobody is asked: what changes is what this test says.
    let node = world.node().probe_every(Duration::from_secs(86_400));
    let status = node.status();
    let node = run(node);
    sleep(Duration::from_secs(1)).await;
    world.log.open(seen());
    // The first of each, which count and write them all.
    let began = Instant::now();
    sleep(Duration::from_secs(60)).await;
    let first = began.elapsed();
    assert_eq!(status.current().miners.len(), MINERS);
    assert_eq!(status.current().miners[0].answered, 4000);

    let before = written(folder.path());
    let began = Instant::now();
    sleep(Duration::from_secs(60)).await;
    let idle = began.elapsed();
    assert_eq!(
        written(folder.path()),
        before,
        "nothing changed, so nothing was written"
    );

    let one = NodeId::from(name(7));
    world.log.measured(&one, "own", 1.0);
    sleep(Duration::from_secs(120)).await;
    assert_ne!(written(folder.path()), before);
    let stored = world.state.get(EpochId(1)).unwrap().unwrap();
    assert_eq!(stored.evidence.miner(&one).unwrap().measures["own"], 1.0);
    println!(
        "{MINERS} miners of {CALLERS} callers, {} bytes: the first minute took {first:?}, one in which nothing changed {idle:?}",
        fs::metadata(folder.path().join("epochs/0000000001.json"))
            .unwrap()
            .len()
    );
    assert!(
        idle < Duration::from_secs(20),
        "60 times a status in {idle:?}: it is made anew each time"
    );
    node.stop().await.unwrap();
}
