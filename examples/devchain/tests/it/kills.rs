//! A devchain that is killed again and again, while clients work.

use std::{
    collections::BTreeSet,
    env,
    sync::{Arc, atomic::Ordering},
    time::{Duration, SystemTime},
};

use synapse_chain::{LocalChain, Receipt, TxHash};
use synapse_core::{NodeId, Subnet, SubnetId};
use tokio::{task::JoinSet, time::sleep};

use crate::{
    funds, key,
    load::{Book, as_signed_by, follower, miner, payments, transfers, validator},
    process::{Plan, verify},
};

/// Receipts are kept for 256 blocks; those of older blocks than this are not asked for.
const LOOKED_UP_BLOCKS: u64 = 200;
/// Weights are kept for sixteen epochs, and epochs go on while they are asked for.
const KEPT_EPOCHS: u64 = 10;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_and_nothing_is_done_twice() {
    let kills = number("SYNAPSE_KILLS").unwrap_or(20);
    let book = survive(kills, None).await;
    let faults = book.faults.lock().unwrap().clone();
    assert!(faults.is_empty(), "{faults:#?}");
    let receipts = book.receipts.lock().unwrap().len();
    assert!(receipts as u64 > kills, "the clients worked: {receipts}");
}

#[cfg(feature = "failpoints")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_does_not_reach_the_disk_is_noticed_here() {
    let book = survive(5, Some("no_fsync")).await;
    assert!(!book.faults.lock().unwrap().is_empty());
}

/// Kills a devchain so many times at random moments, each time under load, and notes whatever should not be.
async fn survive(kills: u64, fault: Option<&'static str>) -> Arc<Book> {
    let seed = number("SYNAPSE_SEED").unwrap_or_else(now);
    println!("SYNAPSE_SEED={seed} SYNAPSE_KILLS={kills} repeat the moments");
    let mut random = Random(seed | 1);
    let data = tempfile::tempdir().unwrap();
    let keys = ["//Alice", "//Bob", "//Charlie", "//Dave", "//Eve"].map(key);
    let [alice, bob, charlie, dave, eve] = &keys;
    let flags = [
        "--block-time=20ms",
        "--epoch-blocks=20",
        "--weighing-blocks=15",
        "--emission=1000",
    ];
    let flags = flags
        .map(str::to_owned)
        .into_iter()
        .chain(funds(&keys.each_ref().map(|key| &**key)));
    let mut plan = Plan::new(data.path(), flags);
    let mut devchain = plan.start().await;
    plan.fault = fault;

    let book = Arc::new(Book::default());
    let chain = LocalChain::connect(&devchain.url).await.unwrap();
    let sinks: Vec<NodeId> = ["//sink//1", "//sink//2", "//sink//3"]
        .map(|uri| synapse_core::keys::Signer::address(&*key(uri)).clone())
        .into();
    let mut clients = JoinSet::new();
    clients.spawn(transfers(
        book.clone(),
        chain.clone(),
        alice.clone(),
        sinks[0].clone(),
    ));
    clients.spawn(transfers(
        book.clone(),
        chain.clone(),
        bob.clone(),
        sinks[1].clone(),
    ));
    let (paying, _) = as_signed_by(&chain, charlie.clone()).await;
    clients.spawn(payments(book.clone(), paying, sinks[2].clone()));
    let (_, of_dave) = as_signed_by(&chain, dave.clone()).await;
    clients.spawn(miner(book.clone(), of_dave, dave.clone()));
    let (_, of_eve) = as_signed_by(&chain, eve.clone()).await;
    let weighed = key("//Eve//miner");
    of_eve
        .register_node(&*weighed, synapse_core::Role::Miner, synapse_core::Stake(1))
        .await
        .unwrap();
    let miner = synapse_core::keys::Signer::address(&*weighed).clone();
    clients.spawn(validator(book.clone(), of_eve, eve.clone(), miner));
    let following = tokio::spawn(follower(book.clone(), chain.clone()));

    let mut looked_up = BTreeSet::new();
    for round in 1..=kills {
        sleep(Duration::from_millis(20 + random.below(230))).await;
        devchain.kill().await;
        if round % 5 == 0
            && let Err(why) = verify(data.path()).await
        {
            book.fault(format!("after kill {round}: {why}"));
        }
        devchain = plan.start().await;
        look_up(&book, &chain, &mut looked_up).await;
        // The clients of a chain that lost something wait for it in vain.
        if !book.faults.lock().unwrap().is_empty() {
            return book;
        }
    }
    book.stop.store(true, Ordering::Relaxed);
    while clients.join_next().await.is_some() {}
    look_up(&book, &chain, &mut looked_up).await;
    let given = book.given.lock().unwrap().clone();
    for sink in &sinks {
        let (held, given) = (
            chain.balance(sink).await.unwrap().0,
            given.get(sink).copied().unwrap_or(0),
        );
        if held != given {
            book.fault(format!("{sink} holds {held}, and was given {given}"));
        }
    }
    weights_are_there(&book, &chain).await;
    following.abort();
    drop(chain);
    devchain.signal(rustix::process::Signal::TERM);
    assert!(
        devchain.ended().await,
        "a devchain that is told to end does so well"
    );
    match verify(data.path()).await {
        Ok(said) => println!("{} receipts; {said}", looked_up.len()),
        Err(why) => book.fault(why),
    }
    book
}

/// Asks for every receipt that was acknowledged since the last time: each is as it was.
async fn look_up(book: &Book, chain: &LocalChain, looked_up: &mut BTreeSet<TxHash>) {
    let receipts = book.receipts.lock().unwrap().clone();
    for receipt in receipts {
        if !looked_up.insert(receipt.hash) {
            continue;
        }
        let found: Result<Option<Receipt>, _> = chain.receipt(&receipt.hash).await;
        let head = chain.block().0;
        match found {
            Ok(Some(found)) if found == receipt => {}
            Ok(None) if receipt.block.0 + LOOKED_UP_BLOCKS < head => {}
            other => book.fault(format!("{receipt:?} was acknowledged, and is {other:?} now")),
        }
    }
}

/// The last weights that were acknowledged are those that the chain has, as far back as it keeps them.
async fn weights_are_there(book: &Book, chain: &LocalChain) {
    let subnet = chain.subnet(SubnetId(7)).await.unwrap();
    let acknowledged = book.weights.lock().unwrap().clone();
    if acknowledged.is_empty() {
        return book.fault("no weights were acknowledged".to_owned());
    }
    let oldest = subnet.epochs().current().id.0.saturating_sub(KEPT_EPOCHS);
    for (epoch, weights) in acknowledged.into_iter().filter(|(epoch, _)| epoch.0 >= oldest) {
        let stored = subnet.weights(epoch).await.unwrap();
        if !stored.iter().any(|(_, stored)| *stored == weights) {
            book.fault(format!("the weights of epoch {epoch} are lost: {stored:?}"));
        }
    }
}

fn number(variable: &str) -> Option<u64> {
    env::var(variable)
        .ok()
        .map(|text| text.parse().expect("a number"))
}

fn now() -> u64 {
    let since = SystemTime::UNIX_EPOCH.elapsed().unwrap();
    u64::from(since.subsec_nanos()) ^ since.as_secs()
}

/// Moments that a seed repeats (xorshift64).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}
