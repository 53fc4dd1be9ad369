//! What a call does, and who may make it.

use synapse_core::{BlockNumber, Epoch, Error, Member, NodeId, SubnetId, SubnetParams};

use super::{
    call::{Entry, LocalCall},
    members::Joining,
    refusal, rhythm,
    state::{State, SubnetRecord},
};
use crate::{Call, Consent, Outcome, Transaction};

/// Who makes a call.
#[derive(Debug, Clone, Copy)]
enum Caller<'a> {
    /// Whoever signed it.
    Signed(&'a NodeId),
    /// The process that keeps the chain, on somebody's behalf.
    Trusted(&'a NodeId),
}

/// Where a call takes effect.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    /// The newest block before: calls meet the epoch that followers see.
    pub(super) head: BlockNumber,
    /// The block that holds the call.
    pub(super) block: BlockNumber,
}

impl State {
    /// Does what a block's entry asks. A transaction uses up its nonce whatever comes of it; its signature, and that of a
    /// consent in it, were verified when it was taken.
    pub(super) fn apply(&mut self, entry: &Entry, moment: Moment) -> Outcome {
        let result = match entry {
            Entry::Signed(taken) => {
                let Transaction { account, call, .. } = taken.transaction();
                self.use_nonce(account);
                self.call(Caller::Signed(account), call, moment)
            }
            Entry::Local(LocalCall::Fund { account, amount }) => self.issue(account, *amount).map(|()| None),
            Entry::Local(LocalCall::CreateSubnet { subnet, params }) => {
                self.create_subnet(*subnet, params).map(|()| None)
            }
            Entry::Local(LocalCall::Act { account, call }) => {
                self.call(Caller::Trusted(account), call, moment)
            }
        };
        result.into()
    }

    fn create_subnet(&mut self, id: SubnetId, params: &SubnetParams) -> Result<(), Error> {
        rhythm::check(params)?;
        if params.max_members > SubnetParams::MOST_MEMBERS {
            return Err(Error::invalid(
                "bad_params",
                format!(
                    "a subnet may have {} members, and not {}",
                    SubnetParams::MOST_MEMBERS,
                    params.max_members
                ),
            ));
        }
        if self.subnets.get(&id).is_some() {
            return Err(Error::invalid(
                "subnet_exists",
                format!("the chain has a subnet {id} already"),
            ));
        }
        let params = params.clone();
        self.subnets.set(id, SubnetRecord { params, members: 0 });
        Ok(())
    }

    fn call(&mut self, caller: Caller<'_>, call: &Call, moment: Moment) -> Result<Option<Member>, Error> {
        match call {
            Call::Transfer { to, amount } => {
                self.take(caller.account(), *amount)?;
                self.give(to, *amount);
                Ok(None)
            }
            Call::Register {
                subnet,
                node,
                role,
                stake,
                consent,
            } => {
                let joining = Joining {
                    subnet: *subnet,
                    node,
                    owner: caller.account(),
                    role: *role,
                    stake: *stake,
                    head: moment.head,
                    block: moment.block,
                };
                self.may_register(caller, &joining, consent.as_ref())?;
                self.register(&joining).map(Some)
            }
            Call::Serve {
                subnet,
                node,
                endpoint,
                capabilities,
            } => {
                caller.must_be(node)?;
                self.serve(*subnet, node, endpoint, capabilities.as_ref())
                    .map(Some)
            }
            Call::Leave { subnet, node } => {
                self.must_own(caller, *subnet, node)?;
                self.leave(*subnet, node, moment.head, moment.block).map(Some)
            }
            Call::SubmitWeights {
                subnet,
                validator,
                operation,
                epoch,
                weights,
            } => {
                caller.must_be(validator)?;
                let current = self.epoch(*subnet, moment.head)?;
                self.submit_weights(*subnet, validator, operation, *epoch, weights, current)?;
                Ok(None)
            }
            Call::RotateKey {
                subnet,
                node,
                to,
                consent,
            } => {
                self.must_own(caller, *subnet, node)?;
                if let Caller::Signed(owner) = caller
                    && owner != to
                {
                    let consent = consent.as_ref().ok_or_else(|| refusal::consent_missing(to))?;
                    consent.check_time(moment.block)?;
                }
                let epoch = self.epoch(*subnet, moment.head)?.id;
                self.rotate(*subnet, node, to, epoch).map(Some)
            }
        }
    }

    fn may_register(
        &self,
        caller: Caller<'_>,
        joining: &Joining<'_>,
        consent: Option<&Consent>,
    ) -> Result<(), Error> {
        let Caller::Signed(owner) = caller else {
            return Ok(());
        };
        let Joining {
            subnet, node, block, ..
        } = *joining;
        self.subnet(subnet)?;
        match self.members.get(&(subnet, node.clone())) {
            Some(_) => self.must_own(caller, subnet, node),
            None if owner == node => Ok(()),
            None => consent
                .ok_or_else(|| refusal::consent_missing(node))?
                .check_time(block),
        }
    }

    fn must_own(&self, caller: Caller<'_>, subnet: SubnetId, node: &NodeId) -> Result<(), Error> {
        let owner = &self.member(subnet, node)?.member.owner;
        match caller {
            Caller::Signed(account) if account != owner => Err(refusal::not_the_owner(account, node)),
            _ => Ok(()),
        }
    }

    fn epoch(&self, subnet: SubnetId, head: BlockNumber) -> Result<Epoch, Error> {
        Ok(rhythm::epoch_at(head, &self.subnet(subnet)?.params))
    }

    /// Ends the epochs that end where `block` is made.
    pub(super) fn enter(&mut self, block: BlockNumber) {
        for id in self.subnet_ids() {
            let ended = self
                .subnets
                .get(&id)
                .and_then(|record| rhythm::ended_by(block, &record.params));
            if let Some(epoch) = ended {
                self.end_epoch(id, epoch);
            }
        }
    }
}

impl<'a> Caller<'a> {
    fn account(self) -> &'a NodeId {
        let (Self::Signed(account) | Self::Trusted(account)) = self;
        account
    }

    fn must_be(self, node: &NodeId) -> Result<(), Error> {
        match self {
            Self::Signed(account) if account != node => Err(refusal::not_the_node(account, node)),
            _ => Ok(()),
        }
    }
}
