//! A thousand epochs on a paused clock.

use std::{collections::BTreeSet, time::Duration};

use synapse_core::{BlockNumber, Epoch, EpochId, Error, Phase};
use synapse_validator::State;
use tokio::time::sleep;

use crate::{
    fleet::Miner,
    node_world::{World, run},
};

const MINERS: usize = 256;
const EPOCHS: u64 = 1000;
/// How long an epoch is. Each miner is asked in every second one, on average.
const EPOCH: Duration = Duration::from_secs(100);

fn name(number: usize) -> String {
    format!("miner-{number:03}")
}

/// Every eighth miner always fails, the others are good.
fn miner(number: usize) -> Miner {
    if number.is_multiple_of(8) {
        Miner::failing(Error::internal("broken", "it always fails"))
    } else {
        Miner::good()
    }
}

/// A thousand epochs with 256 miners; of every fifty the chain skips one, runs one without blocks, stalls in one, and goes
/// back in one. What is counted is how it ends; how long it takes is printed.
#[tokio::test(start_paused = true)]
async fn a_thousand_epochs_with_256_miners() {
    let began = std::time::Instant::now();
    let mut world = World::of([]);
    world.state = State::in_memory().keep(16);
    for number in 0..MINERS {
        world.miners.insert(name(number), miner(number));
        world.chain.join_miner(&name(number));
    }
    let pool = world.pool().probe_interval(Duration::from_secs(365 * 86_400));
    let node = world
        .node()
        .pool(std::sync::Arc::new(pool))
        .probe_every(EPOCH * 2)
        .checkpoint_every(EPOCH * 10);
    let node = run(node);
    let mut expected = BTreeSet::new();
    for id in 1..=EPOCHS {
        match id % 50 {
            // Nobody hears of it.
            10 => continue,
            // It has no blocks.
            20 => {
                let block = BlockNumber(id * 10);
                world
                    .chain
                    .say(Epoch::new(EpochId(id), Phase::Weighing, block, block));
                continue;
            }
            // Four times as long.
            30 => {
                world.chain.serving(id);
                sleep(EPOCH * 4).await;
            }
            _ => {
                world.chain.serving(id);
                sleep(EPOCH * 4 / 5).await;
            }
        }
        world.chain.weighing(id);
        sleep(EPOCH / 10).await;
        if id % 50 == 40 {
            world.chain.serving(id);
            world.chain.forget(id);
            sleep(EPOCH / 10).await;
            world.chain.weighing(id);
        }
        sleep(EPOCH / 10).await;
        expected.insert(id);
    }
    node.stop().await.unwrap();
    let asked: usize = world.miners.values().map(Miner::asked).sum();
    println!(
        "{EPOCHS} epochs, {MINERS} miners, {asked} probes: {:?}",
        began.elapsed()
    );

    let taken = world.chain.taken();
    let weighed: BTreeSet<u64> = taken.iter().map(|(epoch, _)| *epoch).collect();
    assert_eq!(weighed, expected);
    assert_eq!(taken.len(), expected.len(), "no epoch has weights twice");
    let calls = world.chain.calls().len();
    assert_eq!(
        calls,
        expected.len() + 20,
        "sent again only where the chain went back"
    );
    for (epoch, weights) in taken {
        let broken = |name: &str| name[6..].parse::<usize>().unwrap().is_multiple_of(8);
        assert!(
            weights.iter().all(|(name, _)| !broken(name)),
            "a miner that never answers has weight in epoch {epoch}"
        );
        let paid = weights.len();
        assert!(
            paid > MINERS / 8,
            "only {paid} miners have weight in epoch {epoch}"
        );
    }
    assert_eq!(world.state.epochs().len(), 16);
    assert!(asked > MINERS * 450);
}
