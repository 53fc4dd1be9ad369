//! Who signed a request.

use synapse_core::{NodeId, Role, Stake, keys::Scheme};

/// Who signed a request, as the directory knew the signer then.
///
/// An extension of every request that passed a [`Verifier`](super::Verifier), and of the
/// [`Input`](synapse_core::Input) that it becomes. Beside it stands the [`Caller`](synapse_core::Caller) of the same name, by
/// which limits and queues count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedBy {
    pub(super) node: NodeId,
    pub(super) role: Role,
    pub(super) stake: Stake,
    pub(super) scheme: Scheme,
}

impl SignedBy {
    /// The signer: the address of its key.
    #[must_use]
    pub fn node(&self) -> &NodeId {
        &self.node
    }

    /// What it does in the subnet.
    #[must_use]
    pub fn role(&self) -> Role {
        self.role
    }

    /// What it staked.
    #[must_use]
    pub fn stake(&self) -> Stake {
        self.stake
    }

    /// How it signed.
    #[must_use]
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }
}
