//! Start order, freezes, and what is no chain of ours.

use std::{os::unix::fs::PermissionsExt, time::Duration};

use rustix::process::Signal;
use synapse_chain::{LocalChain, remote::RemoteChainBuilder};
use synapse_core::{
    Role, Stake, Subnet, SubnetId,
    keys::{Keystore, Passphrase, Scheme, Signer, WordCount},
};
use tokio::time::timeout;

use crate::{
    funds, key,
    process::{Devchain, Plan},
};

const SOON: Duration = Duration::from_secs(20);

fn impatient(url: &str) -> RemoteChainBuilder {
    LocalChain::remote(url)
        .silence_timeout(Duration::from_millis(500))
        .patience(Duration::from_secs(20))
}

#[tokio::test]
async fn two_devchains_do_not_share_a_directory() {
    let data = tempfile::tempdir().unwrap();
    let mut plan = Plan::new(data.path(), []);
    let first = plan.start().await;
    let said = Plan::new(data.path(), []).fails().await;
    assert!(said.contains(&first.pid().to_string()), "{said}");
}

#[tokio::test]
async fn plain_http_for_other_machines_is_asked_for() {
    let data = tempfile::tempdir().unwrap();
    let mut plan = Plan::new(data.path(), []);
    plan.listen = "0.0.0.0:0".to_owned();
    let said = plan.fails().await;
    assert!(said.contains("--allow-plain-http"), "{said}");
    plan.flags.push("--allow-plain-http".to_owned());
    plan.start().await;
}

#[tokio::test]
async fn with_a_key_it_serves_https_and_nobody_else_is_taken_for_it() {
    let data = tempfile::tempdir().unwrap();
    let keys = data.path().join("keys");
    let phrase = data.path().join("passphrase");
    std::fs::write(&phrase, "correct horse battery staple").unwrap();
    std::fs::set_permissions(&phrase, PermissionsExt::from_mode(0o600)).unwrap();
    let keystore = Keystore::open(&keys).unwrap();
    let passphrase = Passphrase::from_file(&phrase).unwrap();
    keystore
        .create("chain", Scheme::Sr25519, WordCount::Twelve, &passphrase)
        .unwrap();
    let address = keystore.unlock("chain", &passphrase).unwrap().hotkey();
    let flags = [
        "--block-time=20ms".to_owned(),
        "--key=chain".to_owned(),
        format!("--keys={}", keys.display()),
        format!("--passphrase-file={}", phrase.display()),
    ];
    let chain = Plan::new(&data.path().join("chain"), flags).start().await;
    assert!(chain.url.starts_with("https://"), "{}", chain.url);
    let remote = impatient(&chain.url);
    let pinned = remote.clone().server_key(address.address().clone());
    goes_on(&pinned.connect().await.unwrap()).await;
    let other = remote.server_key(key("//Alice").address().clone());
    assert_eq!(other.connect().await.unwrap_err().code(), "tls_wrong_key");
}

#[tokio::test]
async fn a_seeded_chains_blocks_are_as_far_apart_as_it_is_told() {
    let data = tempfile::tempdir().unwrap();
    let flags = ["--block-time=20ms", "--seed=1"].map(str::to_owned);
    let chain = Plan::new(data.path(), flags.into_iter().chain(funds(&[&key("//Alice")])))
        .start()
        .await;
    let chain = LocalChain::connect(&chain.url).await.unwrap();
    let head = *chain.head().current();
    let genesis = 1_577_836_800_000;
    assert_eq!(head.time, genesis + 20 * head.block.0);
}

#[tokio::test]
async fn an_account_is_funded_once() {
    let data = tempfile::tempdir().unwrap();
    let alice = key("//Alice");
    let said = Plan::new(data.path(), funds(&[&alice, &alice])).fails().await;
    assert!(said.contains("two amounts"), "{said}");
}

#[cfg(feature = "failpoints")]
#[tokio::test]
async fn a_chain_that_halts_ends_with_the_error() {
    let data = tempfile::tempdir().unwrap();
    let mut plan = Plan::new(data.path(), ["--block-time=20ms".to_owned()]);
    plan.fault = Some("disk_full@10");
    assert!(!plan.start().await.ended().await);
    plan.fault = None;
    let again = plan.start().await;
    goes_on(&LocalChain::connect(&again.url).await.unwrap()).await;
}

#[tokio::test]
async fn followers_do_not_hold_up_its_end() {
    let data = tempfile::tempdir().unwrap();
    let chain = Plan::new(data.path(), ["--block-time=1m".to_owned()])
        .start()
        .await;
    let followed = LocalChain::connect(&chain.url).await.unwrap();
    followed.subnet(SubnetId(7)).await.unwrap();
    chain.signal(Signal::TERM);
    assert!(chain.ended().await);
}

#[tokio::test]
async fn a_node_may_start_before_its_chain() {
    let data = tempfile::tempdir().unwrap();
    let alice = key("//Alice");
    let mut plan = Plan::new(
        data.path(),
        ["--block-time=20ms".to_owned()]
            .into_iter()
            .chain(funds(&[&alice])),
    );
    // The address is taken once, so that the client knows where the chain will be.
    let url = address(&mut plan).await;
    std::fs::remove_dir_all(data.path()).unwrap();

    let chain = LocalChain::connect_lazy(&url).unwrap().with_signer(alice.clone());
    let subnet = chain.subnet_lazy(SubnetId(7));
    assert!(subnet.directory().current().members().is_empty());
    let early = tokio::spawn({
        let (subnet, alice) = (subnet.clone(), alice.clone());
        async move { subnet.register_node(&*alice, Role::Miner, Stake(5)).await }
    });
    assert!(
        timeout(Duration::from_millis(300), subnet.synced())
            .await
            .is_err()
    );
    let _devchain = plan.start().await;
    timeout(SOON, subnet.synced()).await.unwrap().unwrap();
    assert_eq!(early.await.unwrap().unwrap().node, *alice.address());
    let unknown = timeout(SOON, chain.subnet_lazy(SubnetId(8)).synced())
        .await
        .unwrap();
    assert_eq!(unknown.unwrap_err().code(), "unknown_subnet");
}

#[tokio::test]
async fn a_frozen_chain_is_noticed_and_followed_again() {
    let data = tempfile::tempdir().unwrap();
    let alice = key("//Alice");
    let mut plan = Plan::new(
        data.path(),
        ["--block-time=20ms".to_owned()]
            .into_iter()
            .chain(funds(&[&alice])),
    );
    let devchain = plan.start().await;
    let chain = impatient(&devchain.url).connect().await.unwrap();
    let subnet = chain
        .with_signer(alice.clone())
        .subnet(SubnetId(7))
        .await
        .unwrap();
    subnet
        .register_node(&*alice, Role::Miner, Stake(5))
        .await
        .unwrap();

    let mut directory = subnet.directory();
    let shown = async { while directory.next().await.unwrap().members().is_empty() {} };
    timeout(SOON, shown).await.unwrap();

    devchain.signal(Signal::STOP);
    let hasty = impatient(&devchain.url).patience(Duration::from_secs(1));
    assert_eq!(hasty.connect().await.unwrap_err().code(), "chain_silent");
    let before = subnet.directory().current();
    assert_eq!(before.members().len(), 1, "what was last known stays");
    let asked = tokio::spawn({
        let (chain, to) = (chain.with_signer(alice.clone()), key("//Bob").address().clone());
        async move { chain.transfer(&to, Stake(3)).await }
    });
    // The transfer is under way, and its first attempts are given up, before the chain goes on.
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    devchain.signal(Signal::CONT);
    timeout(SOON, asked).await.unwrap().unwrap().unwrap();
    assert_eq!(
        chain.balance(key("//Bob").address()).await.unwrap(),
        Stake(3),
        "once"
    );
    goes_on(&chain).await;
}

#[tokio::test]
async fn another_chain_at_the_address_is_refused() {
    let data = tempfile::tempdir().unwrap();
    let mut plan = Plan::new(data.path(), ["--block-time=20ms".to_owned()]);
    let devchain = plan.start().await;
    let chain = impatient(&devchain.url)
        .patience(Duration::from_secs(1))
        .connect()
        .await
        .unwrap();
    goes_on(&chain).await;
    let id = chain.id().clone();
    devchain.kill().await;

    let elsewhere = tempfile::tempdir().unwrap();
    let mut other = plan.clone();
    other.flags[0] = format!("--data-dir={}", elsewhere.path().display());
    let devchain = other.start().await;
    let other = LocalChain::connect(&devchain.url).await.unwrap();
    assert_ne!(*other.id(), id);
    let error = chain.balance(key("//Alice").address()).await.unwrap_err();
    assert_eq!(error.code(), "another_chain");
    let at = chain.block();
    goes_on(&other).await;
    assert_eq!(chain.block(), at, "its blocks are not followed");
    devchain.kill().await;

    let _devchain = plan.start().await;
    goes_on(&chain).await;
}

#[tokio::test]
async fn a_chain_that_went_back_is_refused() {
    let data = tempfile::tempdir().unwrap();
    let mut plan = Plan::new(data.path(), ["--block-time=20ms".to_owned()]);
    plan.start().await.kill().await;
    let copy = std::fs::read(data.path().join("chain.redb")).unwrap();

    let devchain = plan.start().await;
    let chain = impatient(&devchain.url).connect().await.unwrap();
    while chain.block().0 < 30 {
        goes_on(&chain).await;
    }
    devchain.kill().await;
    std::fs::write(data.path().join("chain.redb"), copy).unwrap();

    let devchain = plan.start().await;
    let other = LocalChain::connect(&devchain.url).await.unwrap();
    assert_eq!(
        other.id(),
        chain.id(),
        "it is the same chain, with another history"
    );
    let at = chain.block();
    assert!(other.block() < at);
    // Neither while it is behind nor once it is ahead.
    while other.block().0 < at.0 + 10 {
        goes_on(&other).await;
    }
    assert_eq!(chain.block(), at, "its blocks are not followed");
}

/// Waits for the chain's next block.
async fn goes_on(chain: &LocalChain) {
    let mut heads = chain.head();
    let from = heads.current().block;
    let next = async { while heads.next().await.unwrap().block <= from {} };
    timeout(SOON, next).await.expect("the chain is followed");
}

/// An address that a later start of this plan listens on.
async fn address(plan: &mut Plan) -> String {
    let chain: Devchain = plan.start().await;
    let url = chain.url.clone();
    chain.kill().await;
    url
}
