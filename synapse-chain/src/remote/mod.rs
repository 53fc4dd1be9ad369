//! A chain over HTTP: [served](router) to other processes, and [reached](crate::LocalChain::connect) from them.
//!
//! ```no_run
//! use synapse_chain::{LocalChain, remote};
//! use synapse_core::SubnetId;
//!
//! # async fn serve() -> Result<(), synapse_core::Error> {
//! // In the process that keeps the chain:
//! let chain = LocalChain::open("./devchain")?;
//! synapse_http::serve("127.0.0.1:9933", remote::router(chain)).await?;
//! # Ok(())
//! # }
//! # async fn follow() -> Result<(), synapse_core::Error> {
//!
//! // In every other one:
//! let subnet = LocalChain::connect("http://127.0.0.1:9933").await?.subnet(SubnetId(7)).await?;
//! # Ok(())
//! # }
//! ```
//!
//! # What holds over the network as it does in one process?
//! A call returns once the block that holds it is committed. What is signed is sent, the same bytes, until its receipt is
//! known: a connection that breaks, a reply that is lost and a chain that is killed and started again neither lose a
//! call nor do it twice. That a call was not taken is believed of the chain alone: what a proxy says is as good as no
//! answer. Where the receipt stays unknown for too long the error is `outcome_unknown`, with the transaction's hash in
//! [`UnknownOutcome`]. A call that is dropped before it returned may take effect all the same.
//!
//! What is followed lags by the network: a directory may show what a call did a little after the call returned.

mod client;
mod problem;
mod server;
mod wire;

pub use self::{
    client::{RemoteChainBuilder, UnknownOutcome},
    server::{ChainApi, router},
};

/// The header of every reply that says which chain sent it.
const CHAIN_HEADER: &str = "x-synapse-chain";
