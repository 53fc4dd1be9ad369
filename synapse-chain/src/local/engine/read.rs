//! What the last committed block left.

use synapse_core::{EpochId, Error, NodeId, Stake, SubnetId, Watch, Weights};

use super::{Engine, Shared};
use crate::{Account, ChainId, Head, Receipt, Supply, TxHash, backend::Followed, local::refusal};

impl Engine {
    pub(in crate::local) fn chain(&self) -> &ChainId {
        &self.chain
    }

    pub(in crate::local) fn head(&self) -> Watch<Head> {
        self.head.follow()
    }

    pub(crate) fn halted(&self) -> Watch<Option<Error>> {
        self.lock().halted.follow()
    }

    pub(in crate::local) fn account(&self, account: &NodeId) -> Account {
        let shared = self.lock();
        let record = shared
            .state
            .accounts
            .committed(account)
            .copied()
            .unwrap_or_default();
        Account {
            balance: record.balance,
            next_nonce: shared.mempool.next_nonce(account, record.nonce),
        }
    }

    pub(in crate::local) fn supply(&self) -> Supply {
        self.lock()
            .state
            .supply
            .committed(&())
            .copied()
            .unwrap_or_default()
    }

    pub(in crate::local) fn subnets(&self) -> Vec<SubnetId> {
        self.lock().followers.subnets()
    }

    pub(in crate::local) fn follow(&self, id: SubnetId) -> Result<Followed, Error> {
        self.lock()
            .followers
            .of(id)
            .ok_or_else(|| refusal::unknown_subnet(id))
    }

    pub(in crate::local) fn follow_any(&self, id: SubnetId) -> Followed {
        self.lock().followers.of_any(id)
    }

    pub(in crate::local) fn weights(&self, subnet: SubnetId, epoch: EpochId) -> Vec<(NodeId, Weights)> {
        self.lock()
            .state
            .submissions
            .committed_run((subnet, epoch, NodeId::from("")), move |key| {
                (key.0, key.1) == (subnet, epoch)
            })
            .map(|((_, _, node), submitted)| (node.clone(), submitted.weights.clone()))
            .collect()
    }

    pub(in crate::local) fn payouts(&self, subnet: SubnetId, epoch: EpochId) -> Vec<(NodeId, Stake)> {
        self.lock()
            .state
            .payouts
            .committed(&(subnet, epoch))
            .cloned()
            .unwrap_or_default()
    }

    pub(in crate::local) fn receipt(&self, hash: &TxHash) -> Option<Receipt> {
        self.lock().receipts.get(hash).cloned()
    }
}

impl Shared {
    pub(super) fn nonce(&self, account: &NodeId) -> u64 {
        self.state
            .accounts
            .committed(account)
            .map_or(0, |record| record.nonce)
    }
}
