//! Chains that come back with another past.

use std::{path::Path, time::Duration};

use synapse_chain::LocalChain;
use synapse_core::{NodeId, Stake, Subnet as _, SubnetId, keys::Signer as _};
use tokio::time::{sleep, timeout};

use super::{Served, equip, key};
use crate::code;

const SOON: Duration = Duration::from_secs(10);

fn seeded(directory: &Path) -> LocalChain {
    let builder = LocalChain::builder().seed(1).store(directory);
    builder.build().unwrap()
}

async fn serve(address: &str, chain: &LocalChain) -> Served {
    Served::at(address, chain.clone(), |server| server, |api| api).await
}

#[tokio::test]
async fn another_history_of_the_same_seed_is_refused() {
    let data = tempfile::tempdir().unwrap();
    let chain = seeded(&data.path().join("first"));
    equip(&chain);
    let served = serve("127.0.0.1:0", &chain).await;
    let remote = LocalChain::remote(&served.url())
        .submission_timeout(Duration::from_secs(20))
        .connect()
        .await
        .unwrap();
    let directory = remote.subnet(SubnetId(7)).await.unwrap().directory();
    let paying = remote.with_signer(key("//Alice"));
    let bob: NodeId = key("//Bob").address().clone();
    paying.transfer(&bob, Stake(1)).await.unwrap();
    let mut heads = remote.head();
    while heads.next().await.unwrap().block < chain.block() {}
    let at = *remote.head().current();
    let address = served.end().await;
    drop(chain);

    // The same name, as many blocks with the same times and more, and another past.
    let other = seeded(&data.path().join("second"));
    equip(&other);
    other.advance(at.block.0 + 10).unwrap();
    let _served = serve(&address, &other).await;
    let refused = async {
        loop {
            match paying.transfer(&bob, Stake(1)).await {
                Ok(()) => sleep(Duration::from_millis(20)).await,
                Err(error) => return error,
            }
        }
    };
    let error = timeout(SOON, refused).await.unwrap();
    assert_eq!(error.code(), "chain_went_back");
    assert_eq!(*remote.head().current(), at, "its blocks are not followed");
    assert_eq!(code(paying.transfer(&bob, Stake(1)).await), "chain_went_back");
    assert!(directory.current().members().is_empty());
}

#[tokio::test]
async fn the_same_chain_is_followed_again() {
    let data = tempfile::tempdir().unwrap();
    let chain = seeded(data.path());
    equip(&chain);
    let served = serve("127.0.0.1:0", &chain).await;
    let remote = served.connect().await;
    let address = served.end().await;
    chain.advance(20).unwrap();
    let _served = serve(&address, &chain).await;
    let mut heads = remote.head();
    let reached = async { while *heads.next().await.unwrap() != *chain.head().current() {} };
    timeout(SOON, reached).await.unwrap();
}
