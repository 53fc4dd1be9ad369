//! One subnet of a local chain, as nodes see it.

use std::sync::Arc;

use synapse_core::{
    BlockNumber, Directory, Epoch, EpochId, Error, Member, NodeId, OperationId, Registration, Role, Serving,
    Stake, Subnet, SubnetId, SubnetParams, Watch, Weights, async_trait, keys::Signer,
};

use crate::{Call, Consent, LocalChain, backend::Followed};

/// For how many blocks a consent that a handle asks for is valid; its transaction is for fewer.
const CONSENT_FOR: u64 = 128;

/// One subnet of a [`LocalChain`]. A clone is the same subnet, and keeps the chain alive.
#[derive(Debug, Clone)]
pub struct LocalSubnet {
    chain: LocalChain,
    id: SubnetId,
    followed: Followed,
}

impl LocalSubnet {
    pub(crate) fn new(chain: LocalChain, id: SubnetId, followed: Followed) -> Self {
        Self { chain, id, followed }
    }

    /// The same subnet, whose calls `signer` signs: the owner's for [`register`](Subnet::register) and
    /// [`leave`](Subnet::leave), the node's own for [`serve`](Subnet::serve) and
    /// [`submit_weights`](Subnet::submit_weights).
    #[must_use]
    pub fn with_signer(&self, signer: Arc<dyn Signer>) -> Self {
        Self {
            chain: self.chain.with_signer(signer),
            ..self.clone()
        }
    }

    /// Returns once what can be followed is known: at once, but for a subnet that was
    /// [taken lazily](LocalChain::subnet_lazy).
    ///
    /// # Errors
    /// `unknown_subnet`.
    pub async fn synced(&self) -> Result<(), Error> {
        self.chain.backend().synced(self.id).await
    }

    /// Registers a node whose owner is this handle's signer, with the node's consent.
    ///
    /// # Errors
    /// As [`register`](Subnet::register), and what the node's signer fails with.
    pub async fn register_node(&self, node: &dyn Signer, role: Role, stake: Stake) -> Result<Member, Error> {
        self.chain.backend().ready().await?;
        let consent = match self.chain.signer() {
            Some(owner) if owner.address() != node.address() => Some(
                Consent::to_register(
                    node,
                    self.chain.id(),
                    self.id,
                    owner.address(),
                    role,
                    self.consent_until(),
                )
                .await?,
            ),
            _ => None,
        };
        let registration = Registration::new(node.address().as_str(), role, stake);
        self.register_with(registration, consent).await
    }

    /// Puts a new key in a member's place, which keeps its stake, its earnings and its age. The new key serves where the
    /// old one did; once an epoch.
    ///
    /// # Errors
    /// `unknown_member`, `not_the_owner`, `already_a_member`, `rotated_already`.
    pub async fn rotate_key(&self, node: &NodeId, to: &dyn Signer) -> Result<Member, Error> {
        self.chain.backend().ready().await?;
        let consent = match self.chain.signer() {
            Some(owner) => Some(
                Consent::to_replace(
                    to,
                    self.chain.id(),
                    self.id,
                    owner.address(),
                    node,
                    self.consent_until(),
                )
                .await?,
            ),
            None => None,
        };
        let call = Call::RotateKey {
            subnet: self.id,
            node: node.clone(),
            to: to.address().clone(),
            consent,
        };
        self.call_for_member(node, call).await
    }

    /// What validators submitted for an epoch, sorted by validator; the last sixteen epochs are kept.
    ///
    /// # Errors
    /// Where the chain cannot be reached.
    pub async fn weights(&self, epoch: EpochId) -> Result<Vec<(NodeId, Weights)>, Error> {
        self.chain.backend().weights(self.id, epoch).await
    }

    /// What an epoch paid out for each miner, sorted by miner; the last sixteen epochs are kept.
    ///
    /// # Errors
    /// Where the chain cannot be reached.
    pub async fn payouts(&self, epoch: EpochId) -> Result<Vec<(NodeId, Stake)>, Error> {
        self.chain.backend().payouts(self.id, epoch).await
    }

    fn consent_until(&self) -> BlockNumber {
        BlockNumber(self.chain.block().0.saturating_add(CONSENT_FOR))
    }

    async fn register_with(
        &self,
        registration: Registration,
        consent: Option<Consent>,
    ) -> Result<Member, Error> {
        let Registration {
            node, role, stake, ..
        } = registration;
        let call = Call::Register {
            subnet: self.id,
            node: node.clone(),
            role,
            stake,
            consent,
        };
        self.call_for_member(&node, call).await
    }

    async fn call_for_member(&self, node: &NodeId, call: Call) -> Result<Member, Error> {
        let receipt = self.chain.call(node, call).await?;
        receipt
            .outcome
            .into_result()?
            .ok_or_else(|| Error::broken("no_member", "the receipt of a registration names no member"))
    }

    async fn call(&self, node: &NodeId, call: Call) -> Result<(), Error> {
        self.chain.call(node, call).await?.outcome.into_result()?;
        Ok(())
    }
}

#[async_trait]
impl Subnet for LocalSubnet {
    fn id(&self) -> SubnetId {
        self.id
    }

    async fn synced(&self) -> Result<(), Error> {
        self.chain.backend().synced(self.id).await
    }

    fn directory(&self) -> Watch<Directory> {
        self.followed.directory.clone()
    }

    fn params(&self) -> Watch<SubnetParams> {
        self.followed.params.clone()
    }

    fn epochs(&self) -> Watch<Epoch> {
        self.followed.epochs.clone()
    }

    /// Makes a node a member, with stake. Where the handle has a signer, that is the owner: itself the node, or another
    /// account with the node's consent ([`register_node`](Self::register_node)).
    ///
    /// In a full subnet a miner takes the place of the miner that earned least in the last epoch (then of the one that
    /// staked least, then of the oldest), and a validator that of the validator that staked least, if it stakes more.
    /// While validators have fewer than a quarter of the places, one that may set weights takes a miner's instead, if it
    /// stakes more. Nobody's place is taken in its first `immunity_blocks`.
    ///
    /// Who takes another's place stays in it, with all of its stake, until both its immunity and the epoch in which it
    /// came are over (`stake_bound`): the same stake drives one member out an epoch. Nobody takes its place meanwhile.
    async fn register(&self, registration: Registration) -> Result<Member, Error> {
        self.register_with(registration, None).await
    }

    async fn serve(&self, node: &NodeId, serving: Serving) -> Result<(), Error> {
        let Serving {
            endpoint,
            capabilities,
            ..
        } = serving;
        let call = Call::Serve {
            subnet: self.id,
            node: node.clone(),
            endpoint,
            capabilities,
        };
        self.call(node, call).await
    }

    async fn leave(&self, node: &NodeId) -> Result<(), Error> {
        let call = Call::Leave {
            subnet: self.id,
            node: node.clone(),
        };
        self.call(node, call).await
    }

    async fn submit_weights(
        &self,
        operation: OperationId,
        validator: &NodeId,
        epoch: EpochId,
        weights: Weights,
    ) -> Result<(), Error> {
        let call = Call::SubmitWeights {
            subnet: self.id,
            validator: validator.clone(),
            operation,
            epoch,
            weights,
        };
        self.call(validator, call).await
    }
}
