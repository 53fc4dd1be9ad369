//! A chain with members, and those who sign.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use synapse_chain::{Call, LocalChain, Receipt, SignedTransaction, Transaction};
use synapse_core::{
    BlockNumber, Endpoint, Error, Registration, Role, Stake, Subnet, SubnetId, SubnetParams,
    keys::{Keypair, Scheme, Signer as _},
};
use tokio::task::JoinSet;

use crate::{Fault, measure::Round};

const SUBNET: SubnetId = SubnetId(7);

/// What a block is full of.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    /// Transfers, each of its own account.
    Transfer,
    /// Members that say where they are: the directory is made anew.
    Serve,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Transfer => "transfers",
            Self::Serve => "serves",
        }
    }
}

/// A chain on disk whose blocks come by hand.
#[derive(Debug)]
pub(crate) struct World {
    chain: LocalChain,
    keys: Vec<Arc<Keypair>>,
    nonce: u64,
}

impl World {
    pub(crate) async fn new(
        directory: &Path,
        scheme: Scheme,
        members: usize,
        signers: usize,
    ) -> Result<Self, Fault> {
        let chain = LocalChain::builder()
            .store(directory)
            .block_time(Duration::from_secs(3_600))
            .build()?;
        chain.create_subnet(SUBNET, SubnetParams::default().with_max_members(members))?;
        let keys = (0..signers)
            .map(|_| Keypair::generate(scheme).map(Arc::new))
            .collect::<Result<Vec<_>, Error>>()?;
        for key in &keys {
            chain.fund(key.address(), Stake(1_000_000))?;
        }
        let subnet = chain.subnet(SUBNET).await?;
        let mut joining = JoinSet::new();
        for number in 0..members {
            let name = match keys.get(number) {
                Some(key) => key.address().to_string(),
                None => format!("miner-{number}"),
            };
            let subnet = subnet.clone();
            joining.spawn(async move {
                subnet
                    .register(Registration::new(name, Role::Miner, Stake(0)))
                    .await
            });
        }
        let joined = settle(&chain, joining).await?;
        if joined.len() != members {
            return Err("not every member was registered".into());
        }
        Ok(Self {
            chain,
            keys,
            nonce: 0,
        })
    }

    /// Makes a block of one transaction a key.
    pub(crate) async fn block(&mut self, kind: Kind) -> Result<Round, Fault> {
        let mut signed = Vec::new();
        for key in &self.keys {
            signed.push(self.transaction(kind, key)?.sign(&**key).await?);
        }
        self.nonce += 1;
        let began = Instant::now();
        let waiting = self.submit(signed).await?;
        let admission = began.elapsed();
        let began = Instant::now();
        self.chain.advance(1)?;
        let receipts = waiting.join_all().await;
        let block = began.elapsed();
        let height = self.chain.block();
        for receipt in receipts {
            let receipt = receipt?;
            if receipt.block != height {
                return Err("the block did not hold every transaction".into());
            }
            receipt.outcome.into_result()?;
        }
        Ok(Round { admission, block })
    }

    /// Returns once all of them wait for a block.
    async fn submit(&self, signed: Vec<SignedTransaction>) -> Result<JoinSet<Result<Receipt, Error>>, Fault> {
        let mut waiting = JoinSet::new();
        for signed in signed {
            let chain = self.chain.clone();
            waiting.spawn(async move { chain.submit(signed).await });
        }
        for key in &self.keys {
            while self.chain.account(key.address()).await?.next_nonce < self.nonce {
                tokio::task::yield_now().await;
            }
        }
        Ok(waiting)
    }

    fn transaction(&self, kind: Kind, key: &Keypair) -> Result<Transaction, Error> {
        let account = key.address().clone();
        let call = match kind {
            Kind::Transfer => Call::Transfer {
                to: account.clone(),
                amount: Stake(1),
            },
            Kind::Serve => Call::Serve {
                subnet: SUBNET,
                node: account.clone(),
                endpoint: Endpoint::http(&format!("http://127.0.0.1:{}", 1_024 + self.nonce))?,
                capabilities: None,
            },
        };
        Ok(Transaction {
            chain: self.chain.id().clone(),
            account,
            nonce: self.nonce,
            valid_until: BlockNumber(self.chain.block().0 + 10),
            salt: 0,
            call,
        })
    }
}

/// Makes blocks until every call is in one.
async fn settle<T: 'static>(
    chain: &LocalChain,
    mut calls: JoinSet<Result<T, Error>>,
) -> Result<Vec<T>, Fault> {
    let mut done = Vec::new();
    while !calls.is_empty() {
        tokio::task::yield_now().await;
        chain.advance(1)?;
        while let Some(call) = calls.try_join_next() {
            done.push(call??);
        }
    }
    Ok(done)
}
