use std::{env, fs, path::Path, process::Command};

use redb::{Database, ReadableTable as _, TableDefinition};
use synapse_chain::LocalChain;
use synapse_core::{
    EpochId, Error, NodeId, Registration, Role, Stake, Subnet, SubnetId, SubnetParams, Weights,
    keys::Signer as _,
};

use crate::{code, key, somebody};

const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
const STATE: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("state");

/// A chain of a few blocks: key 1 owns key 2, a miner, and paid 5 to somebody.
pub(crate) async fn lived_in(directory: &Path) -> LocalChain {
    let chain = LocalChain::builder().store(directory).seed(3).build().unwrap();
    chain.create_subnet(SubnetId(7), SubnetParams::default()).unwrap();
    let (owner, node) = (key(1), key(2));
    chain.fund(owner.address(), Stake(100)).unwrap();
    let subnet = chain
        .subnet(SubnetId(7))
        .await
        .unwrap()
        .with_signer(owner.clone());
    subnet
        .register_node(&*node, Role::Miner, Stake(30))
        .await
        .unwrap();
    chain
        .with_signer(owner)
        .transfer(&somebody(), Stake(5))
        .await
        .unwrap();
    chain
}

/// Whether the chain in the directory is that one, and goes on.
async fn check_lived_in(directory: &Path) {
    let chain = LocalChain::open(directory).unwrap();
    assert_eq!(chain.block().0, 4);
    let account = chain.account(key(1).address()).await.unwrap();
    assert_eq!((account.balance, account.next_nonce), (Stake(65), 2));
    let subnet = chain.subnet(SubnetId(7)).await.unwrap();
    let directory = subnet.directory().current();
    assert_eq!(directory.members()[0].owner, *key(1).address());
    assert_eq!(chain.verify().unwrap(), 4);
    chain.fund(&somebody(), Stake(1)).unwrap();
    assert_eq!(chain.balance(&somebody()).await.unwrap(), Stake(6));
}

/// A copy of the file as the system has it, as after kill -9.
fn copy(from: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    fs::copy(from.join("chain.redb"), copy.path().join("chain.redb")).unwrap();
    copy
}

#[tokio::test]
async fn an_empty_file_is_damage_and_no_beginning() {
    let directory = tempfile::tempdir().unwrap();
    drop(lived_in(directory.path()).await);
    let file = directory.path().join("chain.redb");
    fs::write(&file, "").unwrap();
    assert_eq!(code(LocalChain::open(directory.path())), "corrupt_store");
    assert_eq!(fs::metadata(&file).unwrap().len(), 0, "it is left as it was");

    // What a beginning left that broke off is no chain.
    fs::remove_file(&file).unwrap();
    fs::write(directory.path().join("chain.redb.new"), "half").unwrap();
    drop(lived_in(directory.path()).await);
    check_lived_in(directory.path()).await;
}

#[tokio::test]
async fn a_chain_goes_on_where_it_was_closed() {
    let directory = tempfile::tempdir().unwrap();
    let id = lived_in(directory.path()).await.id().clone();
    assert_eq!(*LocalChain::open(directory.path()).unwrap().id(), id);
    check_lived_in(directory.path()).await;
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_process_that_is_killed() {
    let directory = tempfile::tempdir().unwrap();
    let chain = lived_in(directory.path()).await;
    check_lived_in(copy(directory.path()).path()).await;
    drop(chain);
}

#[tokio::test]
async fn a_transaction_is_no_news_to_a_chain_that_was_opened_again() {
    let directory = tempfile::tempdir().unwrap();
    let chain = LocalChain::open(directory.path()).unwrap();
    let alice = key(1);
    chain.fund(alice.address(), Stake(10)).unwrap();
    let transaction = synapse_chain::Transaction {
        chain: chain.id().clone(),
        account: alice.address().clone(),
        nonce: 0,
        valid_until: synapse_core::BlockNumber(50),
        salt: 0,
        call: synapse_chain::Call::Transfer {
            to: somebody(),
            amount: Stake(1),
        },
    };
    let signed = transaction.sign(&*alice).await.unwrap();
    let receipt = chain.submit(signed.clone()).await.unwrap();
    drop(chain);
    let chain = LocalChain::open(directory.path()).unwrap();
    assert_eq!(
        chain.receipt(&signed.hash()).await.unwrap(),
        Some(receipt.clone())
    );
    assert_eq!(chain.submit(signed).await.unwrap(), receipt);
    assert_eq!(chain.balance(&somebody()).await.unwrap(), Stake(1));
}

#[test]
fn a_directory_is_of_one_chain_at_a_time() {
    let directory = tempfile::tempdir().unwrap();
    let _chain = LocalChain::open(directory.path()).unwrap();
    let refused = LocalChain::open(directory.path()).unwrap_err();
    assert_eq!(refused.code(), "data_dir_locked");
    assert!(
        refused.message().contains(&std::process::id().to_string()),
        "{refused}"
    );
}

#[test]
fn a_directory_that_cannot_be_written_is_refused() {
    let file = tempfile::NamedTempFile::new().unwrap();
    assert_eq!(code(LocalChain::open(file.path())), "data_dir_not_a_directory");
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("chain.redb")).unwrap();
    assert_eq!(code(LocalChain::open(directory.path())), "store_failed");
}

#[tokio::test]
async fn the_same_seed_and_calls_give_the_same_chain() {
    let (one, another) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let head_of = |directory: &Path, amount: u64| {
        let chain = LocalChain::builder().store(directory).seed(3).build().unwrap();
        chain.fund(&"alice".into(), Stake(amount)).unwrap();
        chain.fund(&"bob".into(), Stake(2)).unwrap();
        let head = *chain.head().current();
        drop(chain);
        let again = LocalChain::open(directory).unwrap();
        assert_eq!(*again.head().current(), head, "it is the stored block's digest");
        head
    };
    let head = head_of(one.path(), 1);
    assert_eq!(head, head_of(another.path(), 1));
    let third = tempfile::tempdir().unwrap();
    let other = head_of(third.path(), 9);
    assert_eq!((head.block, head.time), (other.block, other.time));
    assert_ne!(head.hash, other.hash, "another first block, another history");
    let other = LocalChain::builder().store(one.path()).seed(4).build();
    assert_eq!(code(other), "other_chain");
    let without = [
        LocalChain::in_memory().id().clone(),
        LocalChain::in_memory().id().clone(),
    ];
    assert_ne!(without[0], without[1], "no seed, no twin");
}

#[tokio::test]
async fn a_store_of_a_newer_version_is_refused_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    drop(lived_in(directory.path()).await);
    let change = |from: &str, to: &str| {
        let database = Database::open(directory.path().join("chain.redb")).unwrap();
        let transaction = database.begin_write().unwrap();
        {
            let mut meta = transaction.open_table(META).unwrap();
            let genesis = String::from_utf8(meta.get("genesis").unwrap().unwrap().value().to_vec()).unwrap();
            meta.insert("genesis", genesis.replace(from, to).as_bytes())
                .unwrap();
        }
        transaction.commit().unwrap();
    };
    change(r#""format":1"#, r#""format":2,"shape":"new""#);
    assert_eq!(code(LocalChain::open(directory.path())), "store_too_new");
    change(r#""format":2,"shape":"new""#, r#""format":1"#);
    check_lived_in(directory.path()).await;
}

#[tokio::test]
async fn a_state_that_its_blocks_do_not_come_to_is_found() {
    let directory = tempfile::tempdir().unwrap();
    drop(lived_in(directory.path()).await);
    let set = |key: &str, value: &str| {
        let database = Database::open(directory.path().join("chain.redb")).unwrap();
        let transaction = database.begin_write().unwrap();
        {
            let mut state = transaction.open_table(STATE).unwrap();
            assert!(
                state.insert(key.as_bytes(), value.as_bytes()).unwrap().is_some(),
                "{key}"
            );
        }
        transaction.commit().unwrap();
    };
    let account = format!(r#"{{"account":"{}"}}"#, somebody());
    set(&account, r#"{"balance":6,"nonce":0}"#);
    let refused = LocalChain::open(directory.path()).unwrap_err();
    assert_eq!(
        refused.code(),
        "corrupt_store",
        "money from nowhere is seen at once"
    );
    set(&account, r#"{"balance":5,"nonce":1}"#);
    let chain = LocalChain::open(directory.path()).unwrap();
    assert_eq!(
        code(chain.verify()),
        "state_differs",
        "the rest when the blocks are done again"
    );
}

#[tokio::test]
async fn damage_is_refused_and_never_believed() {
    let directory = tempfile::tempdir().unwrap();
    drop(lived_in(directory.path()).await);
    let whole = fs::read(directory.path().join("chain.redb")).unwrap();
    let (mut refused, mut harmless) = (0, 0);
    let mut check = |damaged: &[u8]| {
        let copy = tempfile::tempdir().unwrap();
        fs::write(copy.path().join("chain.redb"), damaged).unwrap();
        match LocalChain::open(copy.path()) {
            Ok(chain) => {
                assert_eq!((chain.block().0, chain.verify().unwrap()), (4, 4));
                harmless += 1;
            }
            Err(error) => {
                assert_eq!(error.code(), "corrupt_store", "{error:?}");
                refused += 1;
            }
        }
    };
    let used: Vec<usize> = (0..whole.len()).filter(|at| whole[*at] != 0).collect();
    for at in used.iter().step_by(used.len() / 100) {
        let mut damaged = whole.clone();
        damaged[*at] ^= 0x10;
        check(&damaged);
    }
    for tenths in 1..10 {
        check(&whole[..whole.len() * tenths / 10]);
    }
    check(b"this is no database");
    // The rest hit what redb does not use any more.
    assert!(refused > 20, "{refused} were refused, {harmless} were harmless");
}

#[tokio::test]
async fn a_call_without_a_clock_makes_a_block_and_followers_see_it() {
    let directory = tempfile::tempdir().unwrap();
    let chain = LocalChain::open(directory.path()).unwrap();
    chain
        .create_subnet(SubnetId(7), SubnetParams::default().with_max_members(2_500))
        .unwrap();
    let subnet = chain.subnet(SubnetId(7)).await.unwrap();
    let nodes: Vec<NodeId> = (0..2_500)
        .map(|number| NodeId::from(format!("m{number}")))
        .collect();
    let joined = nodes.iter().map(|node| {
        let (subnet, node) = (subnet.clone(), node.clone());
        tokio::spawn(async move {
            subnet
                .register(Registration::new(node.as_str(), Role::Miner, Stake(0)))
                .await
        })
    });
    for joined in joined.collect::<Vec<_>>() {
        let member = joined.await.unwrap().unwrap();
        assert!(
            subnet.directory().current().get(&member.node).is_some(),
            "seen once it is acknowledged"
        );
    }
    assert!(
        chain.block().0 < 2_500,
        "calls that wait together share a block: {}",
        chain.block()
    );
    assert_eq!(chain.verify().unwrap(), chain.block().0);
}

/// Where the process that [`a_file_that_may_not_grow_loses_nothing`] starts keeps its chain.
const FULL_DISK: &str = "SYNAPSE_TEST_FULL_DISK";

#[test]
fn a_file_that_may_not_grow_loses_nothing() {
    let directory = tempfile::tempdir().unwrap();
    // The limit is the system's own: the write fails in the middle of a commit, as on a full disk.
    let limited = r#"trap "" XFSZ; ulimit -f 6000; exec "$0" --exact store::fills_its_disk --nocapture"#;
    let child = Command::new("sh")
        .args(["-c", limited])
        .arg(env::current_exe().unwrap())
        .env(FULL_DISK, directory.path())
        .output()
        .unwrap();
    let told = String::from_utf8(child.stdout).unwrap();
    assert!(
        child.status.success(),
        "{told}{}",
        String::from_utf8_lossy(&child.stderr)
    );
    let after = |what: &str| {
        told.split_once(what)
            .unwrap()
            .1
            .split_whitespace()
            .next()
            .unwrap()
            .to_owned()
    };
    assert_eq!(after("refused with "), "commit_failed");
    assert_eq!(after("because of "), "disk_full");
    let acknowledged: u64 = after("acknowledged ").parse().unwrap();
    let chain = LocalChain::open(directory.path()).unwrap();
    assert!(
        (acknowledged..=acknowledged + 1).contains(&chain.block().0),
        "{acknowledged}, and {}",
        chain.block()
    );
    assert_eq!(chain.verify().unwrap(), chain.block().0);
    chain.fund(&"alice".into(), Stake(1)).unwrap();
}

/// The other process of [`a_file_that_may_not_grow_loses_nothing`]; does nothing by itself.
#[tokio::test]
async fn fills_its_disk() {
    let Some(directory) = env::var_os(FULL_DISK) else {
        return;
    };
    let chain = LocalChain::open(directory).unwrap();
    chain.create_subnet(SubnetId(7), SubnetParams::default()).unwrap();
    let subnet = chain.subnet(SubnetId(7)).await.unwrap();
    // What is refused fills blocks, too.
    let weights = Weights::new((0..1_000).map(|number| (format!("{number:050}").into(), 1))).unwrap();
    for acknowledged in 1..1_000 {
        let id = format!("{acknowledged}");
        let refused = subnet
            .submit_weights((*id).into(), &"nobody".into(), EpochId(0), weights.clone())
            .await
            .unwrap_err();
        if refused.code() != "unknown_member" {
            let cause = std::error::Error::source(&refused)
                .unwrap()
                .downcast_ref::<Error>()
                .unwrap();
            println!(
                "acknowledged {acknowledged} refused with {} because of {}",
                refused.code(),
                cause.code()
            );
            return;
        }
    }
    panic!("the disk was never full");
}
