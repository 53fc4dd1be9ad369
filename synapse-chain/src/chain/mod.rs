//! A local chain, as whoever uses it sees it.

mod wallet;

use std::{path::Path, sync::Arc};

use synapse_core::{BlockNumber, Error, NodeId, Stake, SubnetId, SubnetParams, Watch, keys::Signer};

use self::wallet::Wallet;
use crate::{
    Account, Call, ChainId, Head, LocalChainBuilder, LocalSubnet, Receipt, SignedTransaction, Supply, TxHash,
    backend::Backend,
    local::{Engine, LocalCall},
};

/// A chain of one's own: in memory, in a directory, or in another process. A clone is the same chain.
///
/// It ends, and its clock with it, when the last clone and the last [`LocalSubnet`] are dropped; one in a directory then
/// waits for the block that is being written.
///
/// *In memory and without a clock* a call takes effect at once and blocks come by [`advance`](Self::advance). *With a
/// store or a clock* a call waits until the block that holds it is committed: durably where there is a store, made by
/// each call (and whatever waits beside it) where there is no clock. Only then is it acknowledged, and only then do
/// followers see it. What is refused changes nothing.
///
/// A handle [with a signer](Self::with_signer) signs its calls, and they go one after another. One without is the
/// embedder's own, whose calls are trusted and recorded as such; a chain in another process refuses those.
#[derive(Debug, Clone)]
pub struct LocalChain {
    backend: Arc<dyn Backend>,
    wallet: Option<Arc<Wallet>>,
}

impl LocalChain {
    /// A chain at block 0, in memory, whose blocks come by hand.
    #[must_use]
    pub fn in_memory() -> Self {
        Self::builder().build().expect("a chain in memory needs no file")
    }

    /// The chain that is kept in a directory, or a new one; its blocks come with its calls.
    ///
    /// # Errors
    /// As [`LocalChainBuilder::build`].
    pub fn open(directory: impl AsRef<Path>) -> Result<Self, Error> {
        Self::builder().store(directory).build()
    }

    /// A chain with a store, a clock or a seed.
    #[must_use]
    pub fn builder() -> LocalChainBuilder {
        LocalChainBuilder::new()
    }

    pub(crate) fn of(backend: Arc<dyn Backend>) -> Self {
        Self {
            backend,
            wallet: None,
        }
    }

    pub(crate) fn backend(&self) -> &Arc<dyn Backend> {
        &self.backend
    }

    /// The same chain, whose calls `signer` signs.
    #[must_use]
    pub fn with_signer(&self, signer: Arc<dyn Signer>) -> Self {
        Self {
            backend: self.backend.clone(),
            wallet: Some(Arc::new(Wallet::new(signer))),
        }
    }

    /// Which chain it is: what transactions are signed for.
    #[must_use]
    pub fn id(&self) -> &ChainId {
        self.backend.chain()
    }

    /// The newest block.
    #[must_use]
    pub fn block(&self) -> BlockNumber {
        self.backend.head().current().block
    }

    /// The newest block, as they come; a slow follower skips some.
    #[must_use]
    pub fn head(&self) -> Watch<Head> {
        self.backend.head()
    }

    /// Why the chain makes no more blocks, as soon as one could not be made; `None` until then. A chain in another
    /// process is never halted here: its calls fail.
    #[must_use]
    pub fn halted(&self) -> Watch<Option<Error>> {
        match self.backend.engine() {
            Some(engine) => engine.halted(),
            None => Watch::constant(None),
        }
    }

    /// What the chain knows of an account.
    ///
    /// # Errors
    /// Where the chain cannot be reached.
    pub async fn account(&self, account: &NodeId) -> Result<Account, Error> {
        self.backend.account(account).await
    }

    /// What an account holds and has not staked.
    ///
    /// # Errors
    /// Where the chain cannot be reached.
    pub async fn balance(&self, account: &NodeId) -> Result<Stake, Error> {
        Ok(self.account(account).await?.balance)
    }

    /// How much was issued and burned.
    ///
    /// # Errors
    /// Where the chain cannot be reached.
    pub async fn supply(&self) -> Result<Supply, Error> {
        self.backend.supply().await
    }

    /// Gives some of the signer's balance to another account.
    ///
    /// # Errors
    /// `no_signer`, `insufficient_balance`, and as [`submit`](Self::submit).
    pub async fn transfer(&self, to: &NodeId, amount: Stake) -> Result<(), Error> {
        let wallet = self.wallet.as_ref().ok_or_else(wallet::no_signer)?;
        let call = Call::Transfer {
            to: to.clone(),
            amount,
        };
        wallet.submit(&*self.backend, call).await?.outcome.into_result()?;
        Ok(())
    }

    /// Takes a transaction that was signed elsewhere, and waits for the block that holds it. The receipt says whether
    /// the rules allowed what it asks; a refusal there is final. The same bytes again get the receipt that they have.
    ///
    /// Not cancel safe: a transaction whose call was dropped may take effect all the same. Ask for its receipt.
    ///
    /// # Errors
    /// Where it is not taken: `wrong_chain`, `transaction_replayed`, `nonce_taken`, `nonce_gap`, `transaction_expired`,
    /// `valid_too_long`, `unknown_account`, `mempool_full`, `too_many_waiting`, and as [`SignedTransaction::verify`].
    /// `commit_failed` where its block could not be stored, `block_panicked` where making it panicked, `chain_halted` where
    /// that was an earlier one. Of a chain in another process `outcome_unknown`, where nobody knows whether it was taken.
    pub async fn submit(&self, transaction: SignedTransaction) -> Result<Receipt, Error> {
        self.backend.submit(transaction).await
    }

    /// What became of a transaction; `None` where it is in none of the last 256 blocks.
    ///
    /// # Errors
    /// Where the chain cannot be reached.
    pub async fn receipt(&self, hash: &TxHash) -> Result<Option<Receipt>, Error> {
        self.backend.receipt(hash).await
    }

    /// Its subnets, sorted.
    ///
    /// # Errors
    /// Where the chain cannot be reached.
    pub async fn subnets(&self) -> Result<Vec<SubnetId>, Error> {
        self.backend.subnets().await
    }

    /// A subnet of this chain.
    ///
    /// # Errors
    /// `unknown_subnet`, or where the chain cannot be reached.
    pub async fn subnet(&self, id: SubnetId) -> Result<LocalSubnet, Error> {
        let followed = self.backend.follow(id).await?;
        Ok(LocalSubnet::new(self.clone(), id, followed))
    }

    /// A subnet of this chain, whether the chain answers already or not: its directory is empty until
    /// [`synced`](LocalSubnet::synced) returns.
    ///
    /// # Panics
    /// Of a chain in another process, outside a tokio runtime.
    #[must_use]
    pub fn subnet_lazy(&self, id: SubnetId) -> LocalSubnet {
        LocalSubnet::new(self.clone(), id, self.backend.follow_lazily(id))
    }

    /// Does a call of a subnet: signed where there is a signer, trusted where there is none.
    pub(crate) async fn call(&self, account: &NodeId, call: Call) -> Result<Receipt, Error> {
        match &self.wallet {
            Some(wallet) => wallet.submit(&*self.backend, call).await,
            None => {
                let account = account.clone();
                self.backend.submit_local(LocalCall::Act { account, call }).await
            }
        }
    }

    pub(crate) fn signer(&self) -> Option<&dyn Signer> {
        self.wallet.as_deref().map(Wallet::signer)
    }
}

/// What only the process that keeps the chain can do. Each of these waits for its block on the thread that calls it,
/// for as long as a commit takes.
impl LocalChain {
    /// Makes `blocks` more blocks.
    ///
    /// # Errors
    /// `not_in_this_process`, `commit_failed`, `chain_halted`.
    pub fn advance(&self, blocks: u64) -> Result<(), Error> {
        self.engine()?.advance(blocks)
    }

    /// Gives an account `amount` out of nothing.
    ///
    /// # Errors
    /// `amount_overflow` where all accounts together would hold more than can be counted; otherwise as
    /// [`advance`](Self::advance).
    pub fn fund(&self, account: &NodeId, amount: Stake) -> Result<(), Error> {
        let account = account.clone();
        self.engine()?.do_now(LocalCall::Fund { account, amount })
    }

    /// Starts a subnet.
    ///
    /// # Errors
    /// `subnet_exists`, or `bad_params` where an epoch has no blocks to serve in or none to weigh in, or where there may be
    /// more than [`SubnetParams::MOST_MEMBERS`]; otherwise as [`advance`](Self::advance).
    pub fn create_subnet(&self, id: SubnetId, params: SubnetParams) -> Result<(), Error> {
        self.engine()?
            .do_now(LocalCall::CreateSubnet { subnet: id, params })
    }

    /// Does every stored block again from the first, and compares what comes of it with the stored state, byte by byte.
    /// Returns how many blocks that were. No block is made meanwhile.
    ///
    /// # Errors
    /// `state_differs`, `corrupt_store`, `no_store`, `not_in_this_process`.
    pub fn verify(&self) -> Result<u64, Error> {
        self.engine()?.verify()
    }

    fn engine(&self) -> Result<&Arc<Engine>, Error> {
        self.backend.engine().ok_or_else(|| {
            Error::unsupported(
                "not_in_this_process",
                "only the process that keeps the chain makes blocks, money and subnets",
            )
            .with_hint("ask the devchain that keeps it")
        })
    }
}
