//! Everything that a block can change.

mod key;

use serde::{Deserialize, Serialize};
use synapse_core::{
    BlockNumber, EpochId, Error, Member, NodeId, OperationId, Stake, SubnetId, SubnetParams, Weights,
};

use super::{refusal, table::Table};
use crate::{Supply, TxHash};

/// The chain's state: tables, of which a block changes some entries.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) supply: Table<(), Supply>,
    pub(super) accounts: Table<NodeId, AccountRecord>,
    pub(super) subnets: Table<SubnetId, SubnetRecord>,
    pub(super) members: Table<(SubnetId, NodeId), MemberRecord>,
    pub(super) submissions: Table<(SubnetId, EpochId, NodeId), Submitted>,
    pub(super) operations: Table<(SubnetId, NodeId, OperationId), Operation>,
    pub(super) payouts: Table<(SubnetId, EpochId), Vec<(NodeId, Stake)>>,
    pub(super) rotated: Table<(SubnetId, NodeId), NodeId>,
}

/// An account.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(super) struct AccountRecord {
    pub(super) balance: Stake,
    pub(super) nonce: u64,
}

/// A subnet.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct SubnetRecord {
    pub(super) params: SubnetParams,
    pub(super) members: usize,
}

/// A member, and what decides whether it keeps its place.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct MemberRecord {
    pub(super) member: Member,
    /// What it earned in the last epoch that paid out.
    pub(super) earned: Stake,
    /// The epoch in which it last changed its key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) rotated: Option<EpochId>,
    /// Where it took another's place: the block whose making pays out the epoch in which it came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) bound_until: Option<BlockNumber>,
}

/// What a validator submitted in an epoch.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Submitted {
    /// The last of them.
    pub(super) weights: Weights,
    /// How many operations brought some.
    pub(super) operations: usize,
}

/// One submission, to tell a repetition from another one under the same id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Operation {
    pub(super) epoch: EpochId,
    pub(super) weights: TxHash,
}

/// An entry of the state as it is stored; `None` removes it.
pub(super) type Change = (Vec<u8>, Option<Vec<u8>>);

impl State {
    pub(super) fn subnet(&self, id: SubnetId) -> Result<&SubnetRecord, Error> {
        self.subnets.get(&id).ok_or_else(|| refusal::unknown_subnet(id))
    }

    /// A subnet's members, in no order.
    pub(super) fn members_of(&self, id: SubnetId) -> impl Iterator<Item = &MemberRecord> {
        self.members
            .run((id, NodeId::from("")), move |(subnet, _)| *subnet == id)
            .map(|(_, record)| record)
    }

    /// The subnets, as the block that is being made sees them.
    pub(super) fn subnet_ids(&self) -> Vec<SubnetId> {
        let mut ids: Vec<SubnetId> = self
            .subnets
            .run(SubnetId(0), |_| true)
            .map(|(id, _)| *id)
            .collect();
        ids.sort_unstable();
        ids
    }

    /// Whether anybody would miss this account: it holds something, signed something, or is a member.
    pub(super) fn knows(&self, account: &NodeId) -> bool {
        self.accounts.committed(account).is_some()
            || self
                .subnets
                .committed_run(SubnetId(0), |_| true)
                .any(|(id, _)| self.members.committed(&(*id, account.clone())).is_some())
    }

    /// Whether what was issued is all in balances, in stakes, or burned.
    pub(super) fn adds_up(&self) -> bool {
        let supply = self.supply.committed(&()).copied().unwrap_or_default();
        let start = (SubnetId(0), NodeId::from(""));
        let held = self.accounts.committed_run(NodeId::from(""), |_| true);
        let staked = self.members.committed_run(start, |_| true);
        let sum = held
            .map(|(_, account)| u128::from(account.balance.0))
            .sum::<u128>()
            + staked
                .map(|(_, record)| u128::from(record.member.stake.0))
                .sum::<u128>()
            + u128::from(supply.burned.0);
        sum == u128::from(supply.issued.0)
    }

    /// What the block that is being made changes, as it is stored.
    pub(super) fn changes(&self) -> Vec<Change> {
        key::changes(self)
    }

    /// Puts a stored entry where it was.
    pub(super) fn load(&mut self, key: &[u8], value: &[u8]) -> Result<(), serde_json::Error> {
        key::load(self, key, value)
    }

    pub(super) fn commit(&mut self) {
        key::each(self, &mut |table| table.commit());
    }

    pub(super) fn discard(&mut self) {
        key::each(self, &mut |table| table.discard());
    }
}
