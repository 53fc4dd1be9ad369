//! A chain whose disk fails.

use std::time::Duration;

use synapse_chain::{LocalChain, StoreFault};
use synapse_core::{Stake, keys::Signer as _};
use tokio::time::timeout;

use super::{Served, equip, key};
use crate::code;

#[tokio::test]
async fn a_halted_chain_says_so_and_lets_its_followers_go() {
    let data = tempfile::tempdir().unwrap();
    let chain = LocalChain::builder()
        .store(data.path())
        .fault(StoreFault::DiskFull(6))
        .build()
        .unwrap();
    equip(&chain);
    let served = Served::at("127.0.0.1:0", chain, |server| server, |api| api.max_followers(1)).await;
    let hasty = LocalChain::remote(&served.url())
        .patience(Duration::from_millis(300))
        .submission_timeout(Duration::from_secs(2));
    let remote = hasty.clone().connect().await.unwrap();
    let paying = remote.with_signer(key("//Alice"));
    let bob = key("//Bob").address().clone();
    let failed = async { while paying.transfer(&bob, Stake(1)).await.is_ok() {} };
    timeout(Duration::from_secs(20), failed).await.unwrap();
    assert!(served.chain.halted().current().is_some());
    assert_eq!(code(remote.supply().await), "chain_halted");
    assert_eq!(code(paying.transfer(&bob, Stake(1)).await), "chain_halted");
    assert_eq!(code(hasty.connect().await), "chain_halted");
    assert!(
        remote.account(&bob).await.is_ok(),
        "what was committed is still read"
    );
}
