//! What stands behind the handles: a chain in this process, or one over the network.

use std::{fmt::Debug, sync::Arc};

use serde::{Deserialize, Serialize};
use synapse_core::{
    BlockNumber, Directory, Epoch, EpochId, Error, ErrorKind, NodeId, Stake, SubnetId, SubnetParams, Watch,
    Weights, async_trait,
};
use tokio::time::Instant;

use crate::{
    ChainId, Receipt, SignedTransaction, TxHash,
    local::{Engine, LocalCall},
};

/// A chain, as its handles need it.
#[async_trait]
pub(crate) trait Backend: Debug + Send + Sync + 'static {
    /// Which chain it is.
    fn chain(&self) -> &ChainId;

    /// Returns once it is known which chain it is, and its newest block.
    async fn ready(&self) -> Result<(), Error> {
        Ok(())
    }

    /// Its newest block that is committed.
    fn head(&self) -> Watch<Head>;

    /// What it knows of an account; one that it does not know has nothing.
    async fn account(&self, account: &NodeId) -> Result<Account, Error>;

    /// How much there is.
    async fn supply(&self) -> Result<Supply, Error>;

    /// Its subnets, sorted.
    async fn subnets(&self) -> Result<Vec<SubnetId>, Error>;

    /// What can be followed of a subnet; `unknown_subnet`.
    async fn follow(&self, subnet: SubnetId) -> Result<Followed, Error>;

    /// The same at once; what is not known yet comes later.
    fn follow_lazily(&self, subnet: SubnetId) -> Followed;

    /// Returns once what can be followed of a subnet is known; `unknown_subnet`.
    async fn synced(&self, subnet: SubnetId) -> Result<(), Error> {
        self.follow(subnet).await.map(drop)
    }

    /// What validators submitted for an epoch.
    async fn weights(&self, subnet: SubnetId, epoch: EpochId) -> Result<Vec<(NodeId, Weights)>, Error>;

    /// What an epoch paid out to each member, sorted.
    async fn payouts(&self, subnet: SubnetId, epoch: EpochId) -> Result<Vec<(NodeId, Stake)>, Error>;

    /// Takes a transaction and waits until it is in a block that is committed. The receipt's outcome may be a refusal;
    /// an error means that the transaction was not taken, or (`commit_failed`, `outcome_unknown`) that nobody knows.
    async fn submit(&self, transaction: SignedTransaction) -> Result<Receipt, Error>;

    /// By when a call that begins now has ended; `None` where the chain's own process waits for it.
    fn deadline(&self) -> Option<Instant> {
        None
    }

    /// The same as [`submit`](Self::submit), over by then.
    async fn submit_until(
        &self,
        transaction: SignedTransaction,
        _until: Option<Instant>,
    ) -> Result<Receipt, Error> {
        self.submit(transaction).await
    }

    /// What became of a transaction; `None` where it is in none of the blocks of which receipts are kept.
    async fn receipt(&self, hash: &TxHash) -> Result<Option<Receipt>, Error>;

    /// Does what the embedder asks without a signature.
    async fn submit_local(&self, _call: LocalCall) -> Result<Receipt, Error> {
        Err(Error::new(
            ErrorKind::Unauthenticated,
            "no_signer",
            "a chain in another process takes signed calls only",
        )
        .with_hint("give the handle a signer: chain.with_signer(keys.hotkey())"))
    }

    /// The engine, where it is in this process.
    fn engine(&self) -> Option<&Arc<Engine>> {
        None
    }
}

/// The newest block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Head {
    /// Its height.
    pub block: BlockNumber,
    /// When it was made, in milliseconds since 1970, as the chain's clock said.
    pub time: u64,
    /// Its digest, which stands for all blocks before it too. In memory and without a clock no block is written, and it
    /// is of the chain's beginning and the height.
    pub hash: TxHash,
}

impl Head {
    pub(crate) fn new(block: BlockNumber, time: u64, hash: TxHash) -> Self {
        Self { block, time, hash }
    }
}

/// What a chain knows of an account.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Account {
    /// What it holds and has not staked.
    pub balance: Stake,
    /// The nonce of its next transaction, after those that wait for a block.
    pub next_nonce: u64,
}

/// How much there is: what was issued is in balances, in stakes, or burned.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Supply {
    /// Everything that was ever given out.
    pub issued: Stake,
    /// What fees destroyed.
    pub burned: Stake,
}

/// What can be followed of a subnet.
#[derive(Debug, Clone)]
pub(crate) struct Followed {
    pub(crate) directory: Watch<Directory>,
    pub(crate) params: Watch<SubnetParams>,
    pub(crate) epochs: Watch<Epoch>,
}
