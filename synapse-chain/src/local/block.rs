//! What is written down of a step of the chain.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use synapse_core::BlockNumber;

use super::call::Entry;
use crate::{Outcome, TxHash};

/// How many calls a block holds at most.
pub(super) const MOST_CALLS: usize = 1_000;
/// How many bytes of transactions a block holds at most, but for its first.
pub(super) const MOST_BYTES: usize = 8 * 1024 * 1024;

/// A step of the chain: calls in their order, and what came of each. Its name is the digest of its stored bytes.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Block {
    pub(super) height: BlockNumber,
    /// The block before it; of the first one, the genesis.
    pub(super) parent: TxHash,
    /// In milliseconds since 1970.
    pub(super) time: u64,
    pub(super) calls: Vec<Recorded>,
}

/// A call and what came of it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Recorded {
    pub(super) call: Arc<Entry>,
    pub(super) outcome: Outcome,
}

impl Block {
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("blocks have string keys only")
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(bytes)
    }
}
