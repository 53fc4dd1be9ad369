use std::time::Duration;

use synapse_chain::LocalChain;
use synapse_core::{EpochId, Phase, Subnet, SubnetId, SubnetParams};

use crate::small;

#[tokio::test]
async fn an_epoch_serves_and_then_weighs() {
    let (chain, subnet) = small().await;
    let at = |blocks| {
        chain.advance(blocks).unwrap();
        let epoch = *subnet.epochs().current();
        (epoch.id.0, epoch.phase, epoch.starts.0, epoch.ends.0)
    };
    assert_eq!(at(0), (0, Phase::Serving, 0, 10));
    assert_eq!(at(6), (0, Phase::Serving, 0, 10));
    assert_eq!(at(1), (0, Phase::Weighing, 0, 10));
    assert_eq!(at(3), (1, Phase::Serving, 10, 20));
    assert_eq!(at(1_000_000), (100_001, Phase::Serving, 1_000_010, 1_000_020));
}

#[tokio::test(start_paused = true)]
async fn blocks_come_by_themselves_until_the_chain_is_dropped() {
    let chain = LocalChain::builder()
        .block_time(Duration::from_secs(12))
        .build()
        .unwrap();
    chain.create_subnet(SubnetId(7), SubnetParams::default()).unwrap();
    let subnet = chain.subnet(SubnetId(7)).await.unwrap();
    let mut epochs = subnet.epochs();
    assert_eq!(epochs.next().await.unwrap().id, EpochId(0));
    drop(chain);
    assert_eq!(
        epochs.next().await.unwrap().phase,
        Phase::Weighing,
        "the subnet keeps its chain alive"
    );
    assert_eq!(epochs.next().await.unwrap().id, EpochId(1));
    drop(subnet);
    while epochs.next().await.is_some() {}
    tokio::task::yield_now().await;
    assert_eq!(tokio::runtime::Handle::current().metrics().num_alive_tasks(), 0);
}
