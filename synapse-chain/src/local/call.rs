//! What may stand in a block.

use serde::{Deserialize, Serialize, Serializer};
use synapse_core::{Error, NodeId, Stake, SubnetId, SubnetParams};

use crate::{Call, SignedTransaction, Transaction};

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
    /// A transaction.
    Signed(Box<Taken>),
    /// A call of the process that keeps the chain.
    Local(LocalCall),
}

/// A transaction as it was signed, and as it was read: once.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "SignedTransaction")]
pub(super) struct Taken {
    signed: SignedTransaction,
    transaction: Transaction,
}

impl Taken {
    pub(super) fn signed(&self) -> &SignedTransaction {
        &self.signed
    }

    pub(super) fn transaction(&self) -> &Transaction {
        &self.transaction
    }

    /// Whether it may stand in a block, whatever the chain's state.
    pub(super) fn verify(&self) -> Result<(), Error> {
        self.signed.check(&self.transaction)
    }
}

impl TryFrom<SignedTransaction> for Taken {
    type Error = Error;

    fn try_from(signed: SignedTransaction) -> Result<Self, Error> {
        let transaction = signed.read()?;
        Ok(Self { signed, transaction })
    }
}

impl Serialize for Taken {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.signed.serialize(serializer)
    }
}
