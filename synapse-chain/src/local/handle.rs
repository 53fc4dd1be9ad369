//! One subnet of a local chain, as nodes see it.

use synapse_core::{
    Directory, Endpoint, Epoch, EpochId, Error, Member, NodeId, OperationId, Registration, Subnet, SubnetId,
    SubnetParams, Watch, Weights, async_trait,
};

use super::{LocalChain, weights::Submission};

/// One subnet of a [`LocalChain`]. A clone is the same subnet, and keeps the chain alive.
#[derive(Debug, Clone)]
pub struct LocalSubnet {
    chain: LocalChain,
    id: SubnetId,
}

impl LocalSubnet {
    pub(super) fn new(chain: LocalChain, id: SubnetId) -> Self {
        Self { chain, id }
    }

    /// What validators submitted for an epoch, sorted by validator; the last sixteen epochs are kept.
    #[must_use]
    pub fn weights(&self, epoch: EpochId) -> Vec<(NodeId, Weights)> {
        self.read(|subnet| subnet.submissions.of(epoch))
    }

    fn read<T>(&self, read: impl FnOnce(&super::state::SubnetState) -> T) -> T {
        let state = self.chain.lock();
        read(state.subnet(self.id).expect("a subnet is never removed"))
    }
}

#[async_trait]
impl Subnet for LocalSubnet {
    fn id(&self) -> SubnetId {
        self.id
    }

    fn directory(&self) -> Watch<Directory> {
        self.read(super::state::SubnetState::follow_directory)
    }

    fn params(&self) -> Watch<SubnetParams> {
        Watch::constant(self.read(|subnet| subnet.params().clone()))
    }

    fn epochs(&self) -> Watch<Epoch> {
        self.read(super::state::SubnetState::follow_epochs)
    }

    async fn register(&self, registration: Registration) -> Result<Member, Error> {
        self.chain.lock().register(self.id, &registration)
    }

    async fn serve(&self, node: &NodeId, endpoint: Endpoint) -> Result<(), Error> {
        self.chain
            .lock()
            .change(self.id, |members, _, _| members.serve(node, endpoint))
    }

    async fn leave(&self, node: &NodeId) -> Result<(), Error> {
        self.chain
            .lock()
            .change(self.id, |members, accounts, _| members.leave(node, accounts))
    }

    async fn submit_weights(
        &self,
        operation: OperationId,
        validator: &NodeId,
        epoch: EpochId,
        weights: Weights,
    ) -> Result<(), Error> {
        let submission = Submission {
            validator: validator.clone(),
            epoch,
            weights,
        };
        let mut state = self.chain.lock();
        let subnet = state.subnet_mut(self.id)?;
        let (current, params) = (subnet.epoch(), subnet.params().clone());
        subnet
            .submissions
            .submit(operation, submission, current, &params, &subnet.members)
    }
}
