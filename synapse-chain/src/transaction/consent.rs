//! A key's word that it wants to be somebody's member.

use serde::{Deserialize, Serialize};
use synapse_core::{
    BlockNumber, Error, NodeId, Role, SubnetId,
    keys::{Scheme, Signature, Signer, verify},
};

use super::ChainId;

/// How far ahead the last block of a consent may be.
const LONGEST_VALIDITY: u64 = 1_024;

/// A node's signature that it agrees to be registered by an owner: nobody registers a stranger's key. Until its last
/// block it can be used again, where the node left meanwhile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Consent {
    /// The last block that may hold it.
    valid_until: BlockNumber,
    /// How the node signs.
    scheme: Scheme,
    /// Its signature, as `0x` and hex digits.
    signature: String,
}

impl Consent {
    /// The node's consent to be `owner`'s member of `subnet`, as `role`, given in a block up to `valid_until`: at most
    /// 1,024 ahead.
    ///
    /// # Errors
    /// What the signer fails with.
    pub async fn to_register(
        node: &dyn Signer,
        chain: &ChainId,
        subnet: SubnetId,
        owner: &NodeId,
        role: Role,
        valid_until: BlockNumber,
    ) -> Result<Self, Error> {
        let what = registering(chain, subnet, owner, role);
        Self::sign(node, &what, valid_until).await
    }

    /// A new key's consent to take the place of `owner`'s member `from`, in a block up to `valid_until`.
    ///
    /// # Errors
    /// What the signer fails with.
    pub async fn to_replace(
        key: &dyn Signer,
        chain: &ChainId,
        subnet: SubnetId,
        owner: &NodeId,
        from: &NodeId,
        valid_until: BlockNumber,
    ) -> Result<Self, Error> {
        let what = replacing(chain, subnet, owner, from);
        Self::sign(key, &what, valid_until).await
    }

    async fn sign(signer: &dyn Signer, what: &str, valid_until: BlockNumber) -> Result<Self, Error> {
        let signature = signer.sign(until(what, valid_until).as_bytes()).await?;
        Ok(Self {
            valid_until,
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

    /// Whether it may be used in `block`.
    pub(crate) fn check_time(&self, block: BlockNumber) -> Result<(), Error> {
        let fault = |code: &'static str, why: String| {
            Error::invalid(
                code,
                format!("the consent is valid until block {}, {why}", self.valid_until),
            )
            .with_hint("let the node's own key sign again")
        };
        if self.valid_until < block {
            return Err(fault("consent_expired", format!("and this is {block}")));
        }
        if self.valid_until.0 - block.0 > LONGEST_VALIDITY {
            return Err(fault(
                "consent_too_long",
                format!("more than {LONGEST_VALIDITY} blocks ahead of {block}"),
            ));
        }
        Ok(())
    }

    fn check(&self, node: &NodeId, what: &str) -> Result<(), Error> {
        let signature = Signature::from_hex(&self.signature)?;
        let text = until(what, self.valid_until);
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

fn until(what: &str, block: BlockNumber) -> String {
    format!("{what}\n{block}")
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
