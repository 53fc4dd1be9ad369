//! The documents of a chain's API.

use serde::{Deserialize, Serialize};
use synapse_core::{BlockNumber, Directory, Epoch, Member, NodeId, SubnetId, SubnetParams};

use crate::{ChainId, Head, Supply, TxHash};

/// `GET /v1/chain`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Chain {
    pub(super) chain: ChainId,
    pub(super) head: Head,
    pub(super) supply: Supply,
    pub(super) subnets: Vec<SubnetId>,
}

/// An event of `GET /v1/follow`: the newest block, and what changed since the event before.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Update {
    pub(super) chain: ChainId,
    pub(super) head: Head,
    /// Of the subnet that is followed; the first event has all of it.
    #[serde(flatten)]
    pub(super) subnet: Changes,
}

/// What changed of a subnet.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Changes {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) epoch: Option<Epoch>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) params: Option<SubnetParams>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) directory: Option<Members>,
}

/// `GET /v1/subnets/{id}`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Subnet {
    pub(super) subnet: SubnetId,
    pub(super) epoch: Epoch,
    pub(super) params: SubnetParams,
    pub(super) directory: Members,
}

/// A directory.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Members {
    pub(super) block: BlockNumber,
    pub(super) members: Vec<Member>,
}

/// What is read of a stored block.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(super) struct Moment {
    /// When the block was made, in milliseconds since 1970.
    pub(super) time: u64,
}

/// A transaction that waits for its block.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Waiting {
    pub(super) hash: TxHash,
}

/// What `POST /v1/faucet` takes.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wish {
    pub(super) account: NodeId,
}

impl Changes {
    /// Whether nothing of a subnet is left out.
    pub(super) fn is_complete(&self) -> bool {
        self.epoch.is_some() && self.params.is_some() && self.directory.is_some()
    }
}

impl From<&Directory> for Members {
    fn from(directory: &Directory) -> Self {
        Self {
            block: directory.block(),
            members: directory.members().to_vec(),
        }
    }
}

impl From<Members> for Directory {
    fn from(members: Members) -> Self {
        Self::new(members.members, members.block)
    }
}
