//! Clients that never rest, and remember what the chain acknowledged.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use synapse_chain::{Call, LocalChain, LocalSubnet, Outcome, Receipt, Transaction};
use synapse_core::{
    BlockNumber, Endpoint, EpochId, Error, NodeId, OperationId, Phase, Role, Stake, Subnet, SubnetId,
    Weights,
    keys::{Keypair, Signer},
};

/// What was acknowledged, and whatever went wrong.
#[derive(Debug, Default)]
pub(crate) struct Book {
    /// Receipts of transactions, as they were acknowledged.
    pub(crate) receipts: Mutex<Vec<Receipt>>,
    /// What each account was given by transfers that were acknowledged, one unit each.
    pub(crate) given: Mutex<BTreeMap<NodeId, u64>>,
    /// The last weights of an epoch that were acknowledged.
    pub(crate) weights: Mutex<BTreeMap<EpochId, Weights>>,
    pub(crate) faults: Mutex<Vec<String>>,
    pub(crate) stop: AtomicBool,
}

impl Book {
    pub(crate) fn fault(&self, what: String) {
        self.faults.lock().unwrap().push(what);
    }

    fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::Relaxed)
    }

    fn gave(&self, to: &NodeId) {
        *self.given.lock().unwrap().entry(to.clone()).or_default() += 1;
    }

    /// Notes a failure, unless it is one that the rules of a subnet explain.
    fn check<T>(&self, what: &str, result: Result<T, Error>) -> Option<T> {
        match result {
            Ok(done) => Some(done),
            Err(error) if matches!(error.code(), "epoch_closed") => None,
            Err(error) => {
                self.fault(format!("{what}: {} ({error})", error.code()));
                self.stop.store(true, Ordering::Relaxed);
                None
            }
        }
    }
}

/// Transfers that are signed here, so that their receipts are seen.
pub(crate) async fn transfers(book: Arc<Book>, chain: LocalChain, from: Arc<Keypair>, to: NodeId) {
    while book.goes_on() {
        let sent = transfer(&chain, &from, &to).await;
        let Some(receipt) = book.check("transfer", sent) else {
            continue;
        };
        if !matches!(receipt.outcome, Outcome::Done { .. }) {
            book.fault(format!("a transfer was refused: {receipt:?}"));
        }
        book.gave(&to);
        book.receipts.lock().unwrap().push(receipt);
    }
}

async fn transfer(chain: &LocalChain, from: &Keypair, to: &NodeId) -> Result<Receipt, Error> {
    loop {
        let transaction = Transaction {
            chain: chain.id().clone(),
            account: from.address().clone(),
            nonce: chain.account(from.address()).await?.next_nonce,
            valid_until: BlockNumber(chain.block().0 + 60),
            salt: 0,
            call: Call::Transfer {
                to: to.clone(),
                amount: Stake(1),
            },
        };
        match chain.submit(transaction.sign(from).await?).await {
            // No block took it in its time, and none will.
            Err(error) if error.code() == "transaction_expired" => {}
            answer => return answer,
        }
    }
}

/// Transfers that a handle signs.
pub(crate) async fn payments(book: Arc<Book>, chain: LocalChain, to: NodeId) {
    while book.goes_on() {
        if book
            .check("payment", chain.transfer(&to, Stake(1)).await)
            .is_some()
        {
            book.gave(&to);
        }
    }
}

/// A miner that comes, says where it is, and goes.
pub(crate) async fn miner(book: Arc<Book>, subnet: LocalSubnet, key: Arc<Keypair>) {
    let node = key.address();
    let mut port = 1;
    while book.goes_on() {
        let registered = subnet.register_node(&*key, Role::Miner, Stake(10)).await;
        book.check("register", registered);
        port = port % 60_000 + 1;
        let endpoint = Endpoint::http(&format!("http://127.0.0.1:{port}")).unwrap();
        book.check("serve", subnet.serve(node, endpoint.clone().into()).await);
        seen(&book, &subnet, node, Some(&endpoint)).await;
        book.check("leave", subnet.leave(node).await);
        seen(&book, &subnet, node, None).await;
    }
}

/// What was acknowledged is what followers see, soon.
async fn seen(book: &Book, subnet: &LocalSubnet, node: &NodeId, wanted: Option<&Endpoint>) {
    let mut directory = subnet.directory();
    let shown = async {
        while let Some(now) = directory.next().await {
            if now.get(node).and_then(|member| member.endpoint.as_ref()) == wanted {
                return;
            }
        }
    };
    if book.goes_on()
        && tokio::time::timeout(Duration::from_secs(20), shown)
            .await
            .is_err()
    {
        book.fault(format!("the directory does not show {wanted:?} of {node}"));
    }
}

/// A validator that weighs whenever it may.
pub(crate) async fn validator(book: Arc<Book>, subnet: LocalSubnet, key: Arc<Keypair>, miner: NodeId) {
    let registered = subnet.register_node(&*key, Role::Validator, Stake(100)).await;
    book.check("register a validator", registered);
    let mut epochs = subnet.epochs();
    let mut last = EpochId(0);
    while let Some(epoch) = epochs.next().await {
        if !book.goes_on() {
            return;
        }
        if epoch.id < last {
            book.fault(format!("epoch {} came after {last}", epoch.id));
        }
        last = epoch.id;
        if epoch.phase != Phase::Weighing {
            continue;
        }
        let value = u16::try_from(epoch.id.0 % 60_000).unwrap() + 1;
        let weights = Weights::new([(miner.clone(), value)]).unwrap();
        let operation = OperationId::from(format!("{}-{}", key.address(), epoch.id));
        let submitted = subnet
            .submit_weights(operation, key.address(), epoch.id, weights.clone())
            .await;
        if book.check("weights", submitted).is_some() {
            book.weights.lock().unwrap().insert(epoch.id, weights);
        }
    }
}

/// Blocks never go back for whoever follows them.
pub(crate) async fn follower(book: Arc<Book>, chain: LocalChain) {
    let mut heads = chain.head();
    let mut last = BlockNumber(0);
    while let Some(head) = heads.next().await {
        if head.block < last {
            book.fault(format!("block {} came after {last}", head.block));
        }
        last = head.block;
    }
}

/// A subnet and its chain, as `key` signs.
pub(crate) async fn as_signed_by(chain: &LocalChain, key: Arc<Keypair>) -> (LocalChain, LocalSubnet) {
    let chain = chain.with_signer(key);
    let subnet = chain.subnet(SubnetId(7)).await.unwrap();
    (chain, subnet)
}
