//! Everything that a block can change.

use std::collections::BTreeMap;

use synapse_core::{
    BlockNumber, Directory, Epoch, Error, Registration, SubnetId, SubnetParams, Watch, WatchSender,
};

use super::{accounts::Accounts, members::Members, refusal, rhythm, weights::Submissions};

/// The chain at its newest block.
#[derive(Debug, Default)]
pub(super) struct State {
    block: BlockNumber,
    accounts: Accounts,
    subnets: BTreeMap<SubnetId, SubnetState>,
}

/// One subnet, and those who follow it.
#[derive(Debug)]
pub(super) struct SubnetState {
    params: SubnetParams,
    pub(super) members: Members,
    pub(super) submissions: Submissions,
    directory: WatchSender<Directory>,
    epochs: WatchSender<Epoch>,
}

impl State {
    pub(super) fn block(&self) -> BlockNumber {
        self.block
    }

    pub(super) fn accounts(&self) -> &Accounts {
        &self.accounts
    }

    pub(super) fn accounts_mut(&mut self) -> &mut Accounts {
        &mut self.accounts
    }

    pub(super) fn advance(&mut self, blocks: u64) {
        self.block.0 = self.block.0.saturating_add(blocks);
        for subnet in self.subnets.values_mut() {
            let epoch = rhythm::epoch_at(self.block, &subnet.params);
            if *subnet.epochs.current() != epoch {
                subnet.submissions.forget_before(epoch.id);
                subnet.epochs.set(epoch);
            }
        }
    }

    pub(super) fn create_subnet(&mut self, id: SubnetId, params: SubnetParams) -> Result<(), Error> {
        rhythm::check(&params)?;
        if self.subnets.contains_key(&id) {
            return Err(Error::invalid(
                "subnet_exists",
                format!("the chain has a subnet {id} already"),
            ));
        }
        let subnet = SubnetState {
            members: Members::default(),
            submissions: Submissions::default(),
            directory: Watch::channel(Directory::new([], self.block)).0,
            epochs: Watch::channel(rhythm::epoch_at(self.block, &params)).0,
            params,
        };
        self.subnets.insert(id, subnet);
        Ok(())
    }

    pub(super) fn subnet(&self, id: SubnetId) -> Result<&SubnetState, Error> {
        self.subnets.get(&id).ok_or_else(|| refusal::unknown_subnet(id))
    }

    /// Lets `change` work on a subnet and the accounts, and tells the followers of its directory where it succeeds.
    pub(super) fn change<T>(
        &mut self,
        id: SubnetId,
        change: impl FnOnce(&mut Members, &mut Accounts, BlockNumber) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let subnet = self
            .subnets
            .get_mut(&id)
            .ok_or_else(|| refusal::unknown_subnet(id))?;
        let changed = change(&mut subnet.members, &mut self.accounts, self.block)?;
        subnet
            .directory
            .set(Directory::new(subnet.members.iter().cloned(), self.block));
        Ok(changed)
    }

    pub(super) fn register(
        &mut self,
        id: SubnetId,
        registration: &Registration,
    ) -> Result<synapse_core::Member, Error> {
        let params = self.subnet(id)?.params.clone();
        self.change(id, |members, accounts, block| {
            members.register(registration, &params, accounts, block)
        })
    }

    pub(super) fn subnet_mut(&mut self, id: SubnetId) -> Result<&mut SubnetState, Error> {
        self.subnets
            .get_mut(&id)
            .ok_or_else(|| refusal::unknown_subnet(id))
    }
}

impl SubnetState {
    pub(super) fn params(&self) -> &SubnetParams {
        &self.params
    }

    pub(super) fn follow_directory(&self) -> Watch<Directory> {
        self.directory.follow()
    }

    pub(super) fn follow_epochs(&self) -> Watch<Epoch> {
        self.epochs.follow()
    }

    pub(super) fn epoch(&self) -> Epoch {
        *self.epochs.current()
    }
}
