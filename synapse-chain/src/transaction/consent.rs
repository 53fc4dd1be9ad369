//! A key's word that it wants to be somebody's member.

use serde::{Deserialize, Serialize};
use synapse_core::{
    Error, NodeId, Role, SubnetId,
    keys::{Scheme, Signature, Signer, verify},
};

use super::ChainId;

/// A node's signature that it agrees to be registered by an owner: nobody registers a stranger's key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Consent {
    /// How the node signs.
    scheme: Scheme,
    /// Its signature, as `0x` and hex digits.
    signature: String,
}

impl Consent {
    /// The node's consent to be `owner`'s member of `subnet`, as `role`.
    ///
    /// # Errors
    /// What the signer fails with.
    pub async fn to_register(
        node: &dyn Signer,
        chain: &ChainId,
        subnet: SubnetId,
        owner: &NodeId,
        role: Role,
    ) -> Result<Self, Error> {
        Self::sign(node, &registering(chain, subnet, owner, role)).await
    }

    /// A new key's consent to take the place of `owner`'s member `from`.
    ///
    /// # Errors
    /// What the signer fails with.
    pub async fn to_replace(
        key: &dyn Signer,
        chain: &ChainId,
        subnet: SubnetId,
        owner: &NodeId,
        from: &NodeId,
    ) -> Result<Self, Error> {
        Self::sign(key, &replacing(chain, subnet, owner, from)).await
    }

    async fn sign(signer: &dyn Signer, text: &str) -> Result<Self, Error> {
        let signature = signer.sign(text.as_bytes()).await?;
        Ok(Self {
            scheme: signer.scheme(),
            signature: signature.to_hex(),
        })
    }

    /// Whether `node` agreed to be registered so.
    pub(crate) fn check_register(
        &self,
        node: &NodeId,
        chain: &ChainId,
        subnet: SubnetId,
        owner: &NodeId,
        role: Role,
    ) -> Result<(), Error> {
        self.check(node, &registering(chain, subnet, owner, role))
    }

    /// Whether `to` agreed to take the place of `from`.
    pub(crate) fn check_replace(
        &self,
        to: &NodeId,
        chain: &ChainId,
        subnet: SubnetId,
        owner: &NodeId,
        from: &NodeId,
    ) -> Result<(), Error> {
        self.check(to, &replacing(chain, subnet, owner, from))
    }

    fn check(&self, node: &NodeId, text: &str) -> Result<(), Error> {
        let signature = Signature::from_hex(&self.signature)?;
        verify(self.scheme, node, text.as_bytes(), &signature).map_err(|error| {
            Error::new(
                error.kind(),
                "bad_consent",
                format!("the consent is not {node}'s, or to something else"),
            )
            .with_hint("let the node's own key sign for this chain, subnet, owner and role")
            .with_source(error)
        })
    }
}

fn registering(chain: &ChainId, subnet: SubnetId, owner: &NodeId, role: Role) -> String {
    let role = match role {
        Role::Validator => "validator",
        _ => "miner",
    };
    format!("synapse-register/1\n{chain}\n{subnet}\n{owner}\n{role}")
}

fn replacing(chain: &ChainId, subnet: SubnetId, owner: &NodeId, from: &NodeId) -> String {
    format!("synapse-rotate/1\n{chain}\n{subnet}\n{owner}\n{from}")
}
