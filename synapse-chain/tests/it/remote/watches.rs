//! For how long a chain is followed.

use std::time::Duration;

use synapse_chain::LocalChain;
use synapse_core::{BlockNumber, Registration, Role, Stake, Subnet as _, SubnetId};
use tokio::time::timeout;

use super::Served;

const SOON: Duration = Duration::from_secs(10);

#[tokio::test]
async fn a_watch_alone_keeps_what_it_shows_fresh() {
    let served = Served::new(|api| api).await;
    let chain = served.connect().await;
    let subnet = chain.subnet(SubnetId(7)).await.unwrap();
    let (mut directory, mut heads) = (subnet.directory(), chain.head());
    drop((chain, subnet));

    let here = served.chain.subnet(SubnetId(7)).await.unwrap();
    let late = Registration::new("late", Role::Miner, Stake(10));
    served.chain.fund(&late.node, Stake(100)).unwrap();
    here.register(late.clone()).await.unwrap();
    let shown = async {
        while directory
            .next()
            .await
            .expect("it is followed")
            .get(&late.node)
            .is_none()
        {}
    };
    timeout(SOON, shown).await.unwrap();
    let goal = BlockNumber(served.chain.block().0 + 3);
    let reached = async { while heads.next().await.expect("it is followed").block < goal {} };
    timeout(SOON, reached).await.unwrap();
}

#[tokio::test]
async fn nobody_follows_once_the_last_watch_is_gone() {
    let served = Served::new(|api| api.max_followers(2)).await;
    for _ in 0..3 {
        let chain = served.connect().await;
        let directory = chain.subnet(SubnetId(7)).await.unwrap().directory();
        drop(chain);
        // The subnet's place is held, the chain's is free.
        let other = LocalChain::connect(&served.url()).await.unwrap();
        let mut heads = other.head();
        let from = heads.current().block;
        let followed = async { while heads.next().await.unwrap().block <= from {} };
        timeout(SOON, followed).await.unwrap();
        drop(directory);
    }
}
