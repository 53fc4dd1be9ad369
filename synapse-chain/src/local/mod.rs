//! The chain in this process: calls wait in a pool, blocks take them, a store keeps both and what came of them.

mod accounts;
mod apply;
mod backend;
mod beat;
mod block;
mod block_clock;
mod builder;
mod call;
mod engine;
mod followers;
mod members;
mod mempool;
mod payout;
mod receipts;
mod refusal;
mod replay;
mod rhythm;
mod state;
mod store;
mod table;
mod weights;
mod writer;

pub use self::builder::LocalChainBuilder;
#[cfg(feature = "remote")]
pub(crate) use self::receipts::KEPT_BLOCKS;
#[cfg(feature = "failpoints")]
pub use self::store::StoreFault;
pub(crate) use self::{call::LocalCall, engine::Engine};
