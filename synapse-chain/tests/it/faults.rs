//! A disk that fails.

use std::{fs, path::Path};

use synapse_chain::{LocalChain, StoreFault};
use synapse_core::{Error, NodeId, Registration, Role, Stake, Subnet, SubnetId, SubnetParams};

use crate::code;

fn open(directory: &Path, fault: StoreFault) -> Result<LocalChain, Error> {
    LocalChain::builder().store(directory).fault(fault).build()
}

async fn check(fault: StoreFault, cause: &str) {
    let directory = tempfile::tempdir().unwrap();
    let alice = NodeId::from("alice");
    let chain = open(directory.path(), fault).unwrap();
    chain.fund(&alice, Stake(1)).unwrap();
    chain.fund(&alice, Stake(1)).unwrap();
    assert!(chain.halted().current().is_none());
    let refused = chain.fund(&alice, Stake(1)).unwrap_err();
    assert_eq!(refused.code(), "commit_failed");
    let source = std::error::Error::source(&refused)
        .unwrap()
        .downcast_ref::<Error>()
        .unwrap();
    assert_eq!(source.code(), cause, "{refused:?}");
    let halted = chain.halted().current();
    assert_eq!(halted.as_ref().as_ref().unwrap().code(), "chain_halted");
    assert_eq!(code(chain.fund(&alice, Stake(1))), "chain_halted");
    assert_eq!(code(chain.advance(1)), "chain_halted");
    assert_eq!(
        chain.balance(&alice).await.unwrap(),
        Stake(2),
        "what was committed is still read"
    );
    assert_eq!(chain.block().0, 2);
    drop(chain);
    let chain = LocalChain::open(directory.path()).unwrap();
    assert_eq!(
        chain.balance(&alice).await.unwrap(),
        Stake(2),
        "the old state is intact"
    );
    chain.fund(&alice, Stake(1)).unwrap();
    assert_eq!(chain.verify().unwrap(), 3);
}

#[tokio::test]
async fn a_full_disk_halts_the_chain_and_loses_nothing() {
    check(StoreFault::DiskFull(2), "disk_full").await;
}

#[tokio::test]
async fn a_disk_that_fails_halts_the_chain_and_loses_nothing() {
    check(StoreFault::IoError(2), "store_failed").await;
}

#[tokio::test]
async fn a_writer_that_panics_leaves_nobody_waiting() {
    let directory = tempfile::tempdir().unwrap();
    let chain = open(directory.path(), StoreFault::Panic(2)).unwrap();
    let params = SubnetParams::default();
    chain.create_subnet(SubnetId(7), params).unwrap();
    chain.fund(&"alice".into(), Stake(1)).unwrap();
    let subnet = chain.subnet(SubnetId(7)).await.unwrap();
    let mut halted = chain.halted();
    let join = |name: &str| subnet.register(Registration::new(name, Role::Miner, Stake(0)));
    let (first, second) = tokio::join!(join("alice"), join("bob"));
    // One was in the block; the other too, or it waited, or came too late.
    let told = [code(first), code(second)];
    assert!(told.contains(&"block_panicked".to_owned()), "{told:?}");
    assert!(
        told.iter()
            .all(|code| ["block_panicked", "chain_halted"].contains(&&**code))
    );
    while halted.next().await.unwrap().is_none() {}
    assert_eq!(code(chain.advance(1)), "chain_halted");
    assert_eq!(chain.balance(&"alice".into()).await.unwrap(), Stake(1));
    assert!(subnet.directory().current().members().is_empty());
    drop((chain, subnet));
    assert_eq!(LocalChain::open(directory.path()).unwrap().verify().unwrap(), 2);
}

/// What a process that is killed right after an acknowledgement leaves behind.
async fn balance_after_a_kill(fault: Option<StoreFault>) -> Stake {
    let directory = tempfile::tempdir().unwrap();
    let mut builder = LocalChain::builder().store(directory.path());
    if let Some(fault) = fault {
        builder = builder.fault(fault);
    }
    let chain = builder.build().unwrap();
    chain.fund(&"alice".into(), Stake(1)).unwrap();
    let copy = tempfile::tempdir().unwrap();
    fs::copy(
        directory.path().join("chain.redb"),
        copy.path().join("chain.redb"),
    )
    .unwrap();
    let after = LocalChain::open(copy.path()).unwrap();
    after.balance(&"alice".into()).await.unwrap()
}

#[tokio::test]
async fn a_commit_without_its_fsync_does_not_survive_a_kill() {
    assert_eq!(balance_after_a_kill(None).await, Stake(1));
    assert_eq!(
        balance_after_a_kill(Some(StoreFault::NoFsync)).await,
        Stake(0),
        "so the tests of what survives fail when it is taken out"
    );
}
