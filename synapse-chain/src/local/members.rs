//! Who belongs to a subnet.

use synapse_core::{BlockNumber, Endpoint, EpochId, Error, ErrorKind, Member, NodeId, Role, Stake, SubnetId};

use super::{
    refusal,
    state::{MemberRecord, State, SubnetRecord},
};

/// A registration, once it is known that its owner may make it.
#[derive(Debug)]
pub(super) struct Joining<'a> {
    pub(super) subnet: SubnetId,
    pub(super) node: &'a NodeId,
    pub(super) owner: &'a NodeId,
    pub(super) role: Role,
    pub(super) stake: Stake,
    pub(super) block: BlockNumber,
}

/// Members come, change and go. Each of these checks everything before it changes anything.
impl State {
    pub(super) fn member(&self, subnet: SubnetId, node: &NodeId) -> Result<&MemberRecord, Error> {
        self.subnet(subnet)?;
        self.members
            .get(&(subnet, node.clone()))
            .ok_or_else(|| refusal::unknown_member(node))
    }

    /// Makes a member, or changes the stake of one. The stake comes out of the owner's account, and goes back to it.
    pub(super) fn register(&mut self, joining: &Joining<'_>) -> Result<Member, Error> {
        let Joining {
            subnet,
            node,
            role,
            stake,
            ..
        } = *joining;
        let min = self.subnet(subnet)?.params.min_stake;
        if stake < min {
            return Err(Error::new(
                ErrorKind::Forbidden,
                "insufficient_stake",
                format!("{node} stakes {stake}, and the subnet asks for {min}"),
            ));
        }
        match self.members.get(&(subnet, node.clone())) {
            Some(record) if record.member.role != role => Err(Error::invalid(
                "role_taken",
                format!("{node} is a member in another role already"),
            )
            .with_hint("leave first, or register another key")),
            Some(record) => {
                let record = record.clone();
                self.restake(subnet, record, stake)
            }
            None => self.join(joining),
        }
    }

    fn restake(&mut self, subnet: SubnetId, mut record: MemberRecord, stake: Stake) -> Result<Member, Error> {
        let staked = record.member.stake;
        if stake > staked {
            self.take(&record.member.owner, Stake(stake.0 - staked.0))?;
        } else {
            self.give(&record.member.owner, Stake(staked.0 - stake.0));
        }
        record.member.stake = stake;
        Ok(self.keep(subnet, record))
    }

    fn join(&mut self, joining: &Joining<'_>) -> Result<Member, Error> {
        let Joining {
            subnet,
            node,
            owner,
            role,
            stake,
            block,
        } = *joining;
        let SubnetRecord { params, members } = self.subnet(subnet)?.clone();
        let replaced = if members < params.max_members {
            None
        } else {
            Some(self.replaceable(joining)?)
        };
        let fee = params.registration_fee;
        let Some(cost) = stake.0.checked_add(fee.0) else {
            return Err(refusal::overdrawn(owner, Stake(u64::MAX), self.balance(owner)));
        };
        self.take(owner, Stake(cost))?;
        self.burn(fee);
        if let Some(replaced) = replaced {
            self.leave(subnet, &replaced)?;
        }
        let mut record = self.subnet(subnet)?.clone();
        record.members += 1;
        self.subnets.set(subnet, record);
        let member = Member::new(node.as_str(), role)
            .with_owner(owner.clone())
            .with_stake(stake)
            .with_active_since(block);
        Ok(self.keep(
            subnet,
            MemberRecord {
                member,
                earned: Stake(0),
                rotated: None,
            },
        ))
    }

    /// Whose place somebody takes who joins a full subnet: of the miners the one that earned least in the last epoch,
    /// staked least, is the oldest; of the validators the one that staked least, and less than who joins.
    fn replaceable(&self, joining: &Joining<'_>) -> Result<NodeId, Error> {
        let params = &self.subnet(joining.subnet)?.params;
        let lowest = self
            .members_of(joining.subnet)
            .filter(|record| record.member.role == joining.role)
            .filter(|record| Self::immune_until(&record.member, params) <= joining.block)
            .filter(|record| joining.role != Role::Validator || record.member.stake < joining.stake)
            .min_by_key(|record| {
                let member = &record.member;
                let earned = if joining.role == Role::Validator {
                    Stake(0)
                } else {
                    record.earned
                };
                (earned, member.stake, member.active_since, &member.node)
            });
        match lowest {
            Some(record) => Ok(record.member.node.clone()),
            None => Err(Error::new(
                ErrorKind::Overloaded,
                "subnet_full",
                format!(
                    "all {} places of the subnet are taken, and none can be taken over now",
                    params.max_members
                ),
            )
            .with_hint("wait until a member is older than the subnet's immunity; a validator has to stake more than one")),
        }
    }

    pub(super) fn serve(
        &mut self,
        subnet: SubnetId,
        node: &NodeId,
        endpoint: Endpoint,
    ) -> Result<Member, Error> {
        let mut record = self.member(subnet, node)?.clone();
        record.member.endpoint = Some(endpoint);
        Ok(self.keep(subnet, record))
    }

    /// Takes a member out, and gives its stake back.
    pub(super) fn leave(&mut self, subnet: SubnetId, node: &NodeId) -> Result<Member, Error> {
        let member = self.member(subnet, node)?.member.clone();
        let mut record = self.subnet(subnet)?.clone();
        record.members -= 1;
        self.subnets.set(subnet, record);
        self.members.remove(&(subnet, node.clone()));
        self.give(&member.owner, member.stake);
        Ok(member)
    }

    /// Puts another key in a member's place. Weights of the running epoch that name the old key mean the new one.
    pub(super) fn rotate(
        &mut self,
        subnet: SubnetId,
        node: &NodeId,
        to: &NodeId,
        epoch: EpochId,
    ) -> Result<Member, Error> {
        let mut record = self.member(subnet, node)?.clone();
        if self.members.get(&(subnet, to.clone())).is_some() {
            return Err(Error::invalid(
                "already_a_member",
                format!("{to} is a member of the subnet already"),
            ));
        }
        if record.rotated == Some(epoch) {
            return Err(Error::new(
                ErrorKind::RateLimited,
                "rotated_already",
                format!("{node} changed its key in this epoch already"),
            )
            .with_hint("wait for the next epoch"));
        }
        self.members.remove(&(subnet, node.clone()));
        self.rotated.set((subnet, node.clone()), to.clone());
        if record.member.owner == record.member.node {
            record.member.owner = to.clone();
        }
        record.member.node = to.clone();
        record.rotated = Some(epoch);
        Ok(self.keep(subnet, record))
    }

    fn keep(&mut self, subnet: SubnetId, record: MemberRecord) -> Member {
        let member = record.member.clone();
        self.members.set((subnet, member.node.clone()), record);
        member
    }

    /// A subnet's members as the last committed block left them, sorted.
    pub(super) fn directory(&self, subnet: SubnetId) -> impl Iterator<Item = &Member> {
        self.members
            .committed_run((subnet, NodeId::from("")), move |(of, _)| *of == subnet)
            .map(|(_, record)| &record.member)
    }
}
