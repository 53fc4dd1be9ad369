//! What became of recent transactions.

use std::collections::{HashMap, VecDeque};

use synapse_core::BlockNumber;

use crate::{Receipt, TxHash};

/// For how many blocks a receipt is kept; longer than a transaction can be valid.
pub(crate) const KEPT_BLOCKS: u64 = 256;
/// How many are kept at most.
const MOST: usize = 262_144;

/// Receipts by hash, of the last blocks.
#[derive(Debug, Default)]
pub(super) struct Receipts {
    by_hash: HashMap<TxHash, Receipt>,
    by_age: VecDeque<(BlockNumber, TxHash)>,
}

impl Receipts {
    pub(super) fn get(&self, hash: &TxHash) -> Option<&Receipt> {
        self.by_hash.get(hash)
    }

    pub(super) fn keep(&mut self, receipt: Receipt) {
        self.by_age.push_back((receipt.block, receipt.hash));
        self.by_hash.insert(receipt.hash, receipt);
    }

    pub(super) fn forget(&mut self, head: BlockNumber) {
        while let Some((block, hash)) = self.by_age.front()
            && (self.by_age.len() > MOST || block.0.saturating_add(KEPT_BLOCKS) <= head.0)
        {
            self.by_hash.remove(hash);
            self.by_age.pop_front();
        }
    }
}
