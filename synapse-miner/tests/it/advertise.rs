//! A node's endpoint, kept in a directory. The subnet here only holds a directory and injects faults.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use synapse_core::{
    BlockNumber, Directory, Endpoint, Epoch, EpochId, Error, Member, NodeId, OperationId, Phase,
    Registration, Role, Serving, Subnet, SubnetId, SubnetParams, Watch, WatchSender, Weights, async_trait,
};
use synapse_miner::{Advertised, Advertiser};
use tokio::{task::JoinHandle, time::sleep};

struct Fake {
    directory: WatchSender<Directory>,
    failures: AtomicUsize,
    served: AtomicUsize,
}

impl Fake {
    fn new(members: impl IntoIterator<Item = Member>) -> Arc<Self> {
        Arc::new(Self {
            directory: Watch::channel(Directory::new(members, BlockNumber(1))).0,
            failures: AtomicUsize::new(0),
            served: AtomicUsize::new(0),
        })
    }

    fn set(&self, members: impl IntoIterator<Item = Member>) {
        let block = self.directory.current().block();
        self.directory
            .set(Directory::new(members, BlockNumber(block.0 + 1)));
    }

    fn served(&self) -> usize {
        self.served.load(Ordering::SeqCst)
    }

    fn endpoint(&self) -> Option<String> {
        let directory = self.directory.current();
        Some(directory.get(&"node".into())?.endpoint.as_ref()?.to_string())
    }
}

#[async_trait]
impl Subnet for Fake {
    fn id(&self) -> SubnetId {
        SubnetId(7)
    }

    fn directory(&self) -> Watch<Directory> {
        self.directory.follow()
    }

    fn params(&self) -> Watch<SubnetParams> {
        Watch::constant(SubnetParams::default())
    }

    fn epochs(&self) -> Watch<Epoch> {
        let epoch = Epoch::new(EpochId(0), Phase::Serving, BlockNumber(0), BlockNumber(100));
        Watch::constant(epoch)
    }

    async fn register(&self, registration: Registration) -> Result<Member, Error> {
        Ok(Member::new(registration.node, registration.role))
    }

    async fn serve(&self, node: &NodeId, serving: Serving) -> Result<(), Error> {
        self.served.fetch_add(1, Ordering::SeqCst);
        let failures = &self.failures;
        let fails = failures.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        if fails.is_ok() {
            return Err(Error::unavailable("chain_unreachable", "a scripted failure"));
        }
        self.set([Member::new(node.clone(), Role::Miner).with_endpoint(serving.endpoint)]);
        Ok(())
    }

    async fn leave(&self, _: &NodeId) -> Result<(), Error> {
        self.set([]);
        Ok(())
    }

    async fn submit_weights(&self, _: OperationId, _: &NodeId, _: EpochId, _: Weights) -> Result<(), Error> {
        Err(Error::unsupported("no_weights", "a miner sets none"))
    }
}

const HERE: &str = "http://127.0.0.1:8091";

fn at(url: &str) -> Endpoint {
    Endpoint::http(url).unwrap()
}

fn member() -> Member {
    Member::new("node", Role::Miner)
}

type Told = Arc<Mutex<Vec<String>>>;

/// An advertiser at work, and what it said.
fn start(subnet: &Arc<Fake>) -> (JoinHandle<()>, Told) {
    let told = Told::default();
    let note = told.clone();
    let advertiser = Advertiser::new(subnet.clone(), "node".into(), at(HERE)).on_change(move |now| {
        let word = match now {
            Advertised::Unregistered => "unregistered".to_owned(),
            Advertised::Listed => "listed".to_owned(),
            Advertised::Elsewhere(other) => format!("at {other}"),
            Advertised::Failed(error) => error.code().to_owned(),
            _ => "news".to_owned(),
        };
        note.lock().unwrap().push(word);
    });
    (tokio::spawn(advertiser.run()), told)
}

async fn a_moment() {
    sleep(Duration::from_millis(1)).await;
}

#[tokio::test(start_paused = true)]
async fn a_member_that_serves_nowhere_is_listed_at_once_and_once() {
    let subnet = Fake::new([member()]);
    let (_running, told) = start(&subnet);
    a_moment().await;
    assert_eq!(subnet.endpoint().as_deref(), Some(HERE));
    sleep(Duration::from_secs(3600)).await;
    assert_eq!(
        (subnet.served(), &**told.lock().unwrap()),
        (1, &["listed".to_owned()][..])
    );
}

#[tokio::test(start_paused = true)]
async fn one_that_is_listed_already_is_left_as_it_is() {
    let subnet = Fake::new([member().with_endpoint(at(HERE))]);
    let (_running, _) = start(&subnet);
    for _ in 0..100 {
        subnet.set([member().with_endpoint(at(HERE))]);
        a_moment().await;
    }
    assert_eq!(subnet.served(), 0);
}

#[tokio::test(start_paused = true)]
async fn one_that_is_not_registered_says_so_once_and_is_listed_once_it_is() {
    let subnet = Fake::new([]);
    let (_running, told) = start(&subnet);
    for _ in 0..10 {
        subnet.set([Member::new("another", Role::Miner)]);
        a_moment().await;
    }
    assert_eq!(subnet.served(), 0);
    subnet.set([member()]);
    a_moment().await;
    assert_eq!(subnet.endpoint().as_deref(), Some(HERE));
    assert_eq!(**told.lock().unwrap(), ["unregistered", "listed"]);
}

#[tokio::test(start_paused = true)]
async fn one_that_was_left_out_and_comes_back_is_listed_again() {
    let subnet = Fake::new([member()]);
    let (_running, told) = start(&subnet);
    a_moment().await;
    subnet.leave(&"node".into()).await.unwrap();
    a_moment().await;
    subnet.set([member()]);
    sleep(Duration::from_secs(2)).await;
    assert_eq!(subnet.endpoint().as_deref(), Some(HERE));
    assert_eq!(**told.lock().unwrap(), ["listed", "unregistered", "listed"]);
}

#[tokio::test(start_paused = true)]
async fn a_chain_that_fails_is_told_again_with_longer_and_longer_pauses() {
    let subnet = Fake::new([member()]);
    subnet.failures.store(usize::MAX, Ordering::SeqCst);
    let (_running, told) = start(&subnet);
    // A directory that changes all the time hurries nothing.
    for _ in 0..600 {
        subnet.set([member()]);
        sleep(Duration::from_secs(1)).await;
    }
    assert!((10..20).contains(&subnet.served()), "{} times", subnet.served());
    subnet.failures.store(0, Ordering::SeqCst);
    sleep(Duration::from_secs(61)).await;
    assert_eq!(**told.lock().unwrap(), ["chain_unreachable", "listed"]);
}

#[tokio::test(start_paused = true)]
async fn two_nodes_with_one_key_hear_of_it_and_do_not_flood_the_chain() {
    let subnet = Fake::new([member()]);
    let (_running, told) = start(&subnet);
    a_moment().await;
    for _ in 0..600 {
        subnet.set([member().with_endpoint(at("http://127.0.0.1:1"))]);
        sleep(Duration::from_secs(1)).await;
    }
    assert!((5..20).contains(&subnet.served()), "{} times", subnet.served());
    let told = told.lock().unwrap();
    assert!(told.len() < 40, "{told:?}");
    assert_eq!(
        told[..4],
        [
            "listed",
            "at http://127.0.0.1:1",
            "listed",
            "at http://127.0.0.1:1"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_node_that_starts_where_it_was_not_before_is_no_second_one() {
    let subnet = Fake::new([member().with_endpoint(at("http://127.0.0.1:1"))]);
    let (_running, told) = start(&subnet);
    a_moment().await;
    assert_eq!(**told.lock().unwrap(), ["listed"]);
}

#[tokio::test(start_paused = true)]
async fn nothing_of_it_is_left_once_it_is_dropped() {
    let subnet = Fake::new([member()]);
    let (running, _) = start(&subnet);
    a_moment().await;
    running.abort();
    assert!(running.await.unwrap_err().is_cancelled());
    assert_eq!(Arc::strong_count(&subnet), 1);
}
