//! Who belongs to a subnet.

use synapse_core::{
    BlockNumber, Endpoint, EpochId, Error, ErrorKind, Member, NodeId, Role, Stake, SubnetId, SubnetParams,
};

use super::{
    refusal, rhythm,
    state::{MemberRecord, State, SubnetRecord},
};

/// Of how many places one is a validator's before miners have a right to it.
const VALIDATORS_SHARE: usize = 4;

/// A registration, once it is known that its owner may make it.
#[derive(Debug)]
pub(super) struct Joining<'a> {
    pub(super) subnet: SubnetId,
    pub(super) node: &'a NodeId,
    pub(super) owner: &'a NodeId,
    pub(super) role: Role,
    pub(super) stake: Stake,
    /// The newest block before, whose epoch it is.
    pub(super) head: BlockNumber,
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
                if stake < record.member.stake {
                    self.check_unbound(subnet, &record, joining.head, joining.block)?;
                }
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
            head,
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
        let bound_until = replaced.is_some().then(|| rhythm::epoch_at(head, &params).ends);
        if let Some(replaced) = replaced {
            self.take_out(subnet, &replaced)?;
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
                bound_until,
            },
        ))
    }

    /// Whose place somebody takes who joins a full subnet. A miner takes that of the miner that earned least in the last
    /// epoch, staked least, is the oldest. A validator takes that of the validator that staked least, and less than who
    /// joins; while validators have fewer than their [share](VALIDATORS_SHARE) of the places, that of a miner.
    fn replaceable(&self, joining: &Joining<'_>) -> Result<NodeId, Error> {
        let params = &self.subnet(joining.subnet)?.params;
        let lowest = match joining.role {
            Role::Validator if self.validators_are_few(joining.subnet, params) => self
                .lowest(joining, Role::Miner)
                .filter(|_| joining.stake >= params.min_validator_stake)
                .or_else(|| self.lowest(joining, Role::Validator)),
            role => self.lowest(joining, role),
        };
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

    fn validators_are_few(&self, subnet: SubnetId, params: &SubnetParams) -> bool {
        let validators = self
            .members_of(subnet)
            .filter(|record| record.member.role == Role::Validator);
        validators.count() < params.max_members / VALIDATORS_SHARE
    }

    /// The first of a role to lose its place to whoever joins.
    fn lowest(&self, joining: &Joining<'_>, role: Role) -> Option<&MemberRecord> {
        let params = &self.subnets.get(&joining.subnet)?.params;
        self.members_of(joining.subnet)
            .filter(|record| record.member.role == role)
            .filter(|record| is_settled(record, params, joining.head, joining.block))
            .filter(|record| joining.role != Role::Validator || record.member.stake < joining.stake)
            .min_by_key(|record| {
                let member = &record.member;
                let earned = if role == Role::Validator {
                    Stake(0)
                } else {
                    record.earned
                };
                (earned, member.stake, member.active_since, &member.node)
            })
    }

    /// Whether a member that took another's place may take stake out of it: else the same stake drove out one after
    /// another.
    fn check_unbound(
        &self,
        subnet: SubnetId,
        record: &MemberRecord,
        head: BlockNumber,
        block: BlockNumber,
    ) -> Result<(), Error> {
        let params = &self.subnet(subnet)?.params;
        if record.bound_until.is_none() || is_settled(record, params, head, block) {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Forbidden,
            "stake_bound",
            format!(
                "{} took another member's place, and keeps its stake there for now",
                record.member.node
            ),
        )
        .with_hint("wait until its immunity and the epoch in which it came are over"))
    }

    pub(super) fn serve(
        &mut self,
        subnet: SubnetId,
        node: &NodeId,
        endpoint: &Endpoint,
        capabilities: Option<&String>,
    ) -> Result<Member, Error> {
        let mut record = self.member(subnet, node)?.clone();
        record.member.endpoint = Some(endpoint.clone());
        record.member.capabilities = capabilities.cloned();
        Ok(self.keep(subnet, record))
    }

    /// Takes a member out that may go.
    pub(super) fn leave(
        &mut self,
        subnet: SubnetId,
        node: &NodeId,
        head: BlockNumber,
        block: BlockNumber,
    ) -> Result<Member, Error> {
        self.check_unbound(subnet, self.member(subnet, node)?, head, block)?;
        self.take_out(subnet, node)
    }

    /// Takes a member out, and gives its stake back.
    fn take_out(&mut self, subnet: SubnetId, node: &NodeId) -> Result<Member, Error> {
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

/// Whether a member is no newcomer any more: it is not immune, and where it took another's place, the epoch in which it
/// came was paid out.
fn is_settled(record: &MemberRecord, params: &SubnetParams, head: BlockNumber, block: BlockNumber) -> bool {
    let immune_until = record
        .member
        .active_since
        .0
        .saturating_add(params.immunity_blocks);
    immune_until <= block.0 && record.bound_until.is_none_or(|until| until <= head)
}
