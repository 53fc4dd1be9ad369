//! A chain in memory: a handle, a clock that may make its blocks, and the state behind them.

mod accounts;
mod builder;
mod handle;
mod members;
mod refusal;
mod rhythm;
mod state;
mod ticker;
mod weights;

pub use self::{builder::LocalChainBuilder, handle::LocalSubnet};

use std::sync::{Arc, Mutex, MutexGuard};

use synapse_core::{BlockNumber, Error, NodeId, Stake, SubnetId, SubnetParams};

use self::{state::State, ticker::Ticker};

/// A chain in memory. A clone is the same chain; it ends, and its clock with it, when the last clone and the last
/// [`LocalSubnet`] are dropped.
///
/// Blocks come by [`advance`](Self::advance), or by themselves where the [builder](Self::builder) was given a block
/// time. What is refused changes nothing.
#[derive(Debug, Clone)]
pub struct LocalChain {
    state: Arc<Mutex<State>>,
    _ticker: Option<Arc<Ticker>>,
}

impl LocalChain {
    /// A chain at block 0 whose blocks come by hand.
    #[must_use]
    pub fn in_memory() -> Self {
        Self {
            state: Arc::default(),
            _ticker: None,
        }
    }

    /// A chain with a clock of its own.
    #[must_use]
    pub fn builder() -> LocalChainBuilder {
        LocalChainBuilder::new()
    }

    /// The newest block.
    #[must_use]
    pub fn block(&self) -> BlockNumber {
        self.lock().block()
    }

    /// Makes `blocks` more blocks.
    pub fn advance(&self, blocks: u64) {
        self.lock().advance(blocks);
    }

    /// Gives an account `amount` out of nothing.
    ///
    /// # Errors
    /// `amount_overflow` where all accounts together would hold more than can be counted.
    pub fn fund(&self, account: &NodeId, amount: Stake) -> Result<(), Error> {
        self.lock().accounts_mut().fund(account, amount)
    }

    /// What an account holds and has not staked.
    #[must_use]
    pub fn balance(&self, account: &NodeId) -> Stake {
        self.lock().accounts().balance(account)
    }

    /// Starts a subnet.
    ///
    /// # Errors
    /// `subnet_exists`, or `bad_params` where an epoch has no blocks to serve in or none to weigh in.
    pub fn create_subnet(&self, id: SubnetId, params: SubnetParams) -> Result<(), Error> {
        self.lock().create_subnet(id, params)
    }

    /// A subnet of this chain.
    ///
    /// # Errors
    /// `unknown_subnet`.
    #[expect(
        clippy::unused_async,
        reason = "a chain that is reached over the network has to wait here"
    )]
    pub async fn subnet(&self, id: SubnetId) -> Result<LocalSubnet, Error> {
        self.lock().subnet(id)?;
        Ok(LocalSubnet::new(self.clone(), id))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no operation panics halfway")
    }
}
