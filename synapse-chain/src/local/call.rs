//! What may stand in a block.

use serde::{Deserialize, Serialize};
use synapse_core::{NodeId, Stake, SubnetId, SubnetParams};

use crate::{Call, SignedTransaction};

/// What the process that keeps the chain asks of it, unsigned and trusted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum LocalCall {
    /// Gives an account an amount out of nothing.
    Fund { account: NodeId, amount: Stake },
    /// Starts a subnet.
    CreateSubnet { subnet: SubnetId, params: SubnetParams },
    /// Does a call as if `account` had signed it.
    Act { account: NodeId, call: Call },
}

/// What may stand in a block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Entry {
    /// A transaction, and whose it is.
    Signed(SignedTransaction),
    /// A call of the process that keeps the chain.
    Local(LocalCall),
}
