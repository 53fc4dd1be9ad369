//! What an account asks of a chain, and proves that it asked.

mod consent;
mod names;
mod receipt;
mod signed;

use std::fmt;

use serde::{Deserialize, Serialize};
use synapse_core::{
    BlockNumber, Endpoint, EpochId, Error, NodeId, OperationId, Role, Stake, SubnetId, Weights, keys::Signer,
};

pub(crate) use self::names::check_local;
pub use self::{
    consent::Consent,
    receipt::{Outcome, Receipt, Refusal},
    signed::{SignedTransaction, TxHash},
};

/// Which chain it is: a transaction for one means nothing to another.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ChainId(String);

impl ChainId {
    /// The chain of this name.
    pub fn new(name: impl Into<String>) -> Self {
        Self(name.into())
    }

    /// Its name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ChainId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What an account asks of a chain, once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Transaction {
    /// Of which chain.
    pub chain: ChainId,
    /// Who asks.
    pub account: NodeId,
    /// How many transactions of this account came before it.
    pub nonce: u64,
    /// The last block that may hold it.
    pub valid_until: BlockNumber,
    /// Tells it from another that asks the same with the same nonce, as two programs with one key may: any number, by
    /// handles one at random.
    pub salt: u64,
    /// What it asks.
    pub call: Call,
}

impl Transaction {
    /// Signs it.
    ///
    /// # Errors
    /// `not_the_signer` where the account is not the signer's, `transaction_too_large`, and what the signer fails with.
    pub async fn sign(&self, signer: &dyn Signer) -> Result<SignedTransaction, Error> {
        SignedTransaction::sign(self, signer).await
    }

    /// Whether whoever consents in it signed just that. Whether a consent is needed depends on the chain.
    fn check_consent(&self) -> Result<(), Error> {
        match &self.call {
            Call::Register {
                subnet,
                node,
                role,
                consent: Some(consent),
                ..
            } => consent.check_register(node, &self.chain, *subnet, &self.account, *role),
            Call::RotateKey {
                subnet,
                node,
                to,
                consent: Some(consent),
            } => consent.check_replace(to, &self.chain, *subnet, &self.account, node),
            _ => Ok(()),
        }
    }
}

/// What can be asked of a chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Call {
    /// Gives some of the account's balance to another. Signed by the account.
    Transfer {
        /// Who gets it.
        to: NodeId,
        /// How much.
        amount: Stake,
    },
    /// Makes a node a member, or changes its stake. Signed by its owner, who pays the fee and the stake.
    Register {
        /// Of which subnet.
        subnet: SubnetId,
        /// Who becomes a member.
        node: NodeId,
        /// As what.
        role: Role,
        /// With how much stake.
        stake: Stake,
        /// The node's consent, where the owner is another account and the node is no member yet.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        consent: Option<Consent>,
    },
    /// Tells where a member can be reached, and what it can do there. Signed by the node.
    Serve {
        /// Of which subnet.
        subnet: SubnetId,
        /// The member.
        node: NodeId,
        /// Where it is.
        endpoint: Endpoint,
        /// A digest of what it can do: `sha256:` and 64 hex digits.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        capabilities: Option<String>,
    },
    /// Takes a member out. Its stake goes back to its owner, who signs.
    Leave {
        /// Of which subnet.
        subnet: SubnetId,
        /// The member.
        node: NodeId,
    },
    /// Submits a validator's weights. Signed by the validator's node.
    SubmitWeights {
        /// Of which subnet.
        subnet: SubnetId,
        /// Whose weights.
        validator: NodeId,
        /// Which effect this is; a second submission under the same id has none.
        operation: OperationId,
        /// For which epoch.
        epoch: EpochId,
        /// The weights.
        weights: Weights,
    },
    /// Puts another key in a member's place, with its stake, its earnings and its age. Signed by the owner.
    RotateKey {
        /// Of which subnet.
        subnet: SubnetId,
        /// The member.
        node: NodeId,
        /// Its new key.
        to: NodeId,
        /// The new key's consent, where it is not the signer's own.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        consent: Option<Consent>,
    },
}
