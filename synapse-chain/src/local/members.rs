//! Who belongs to a subnet.

use std::collections::BTreeMap;

use synapse_core::{
    BlockNumber, Endpoint, Error, ErrorKind, Member, NodeId, Registration, Stake, SubnetParams,
};

use super::{accounts::Accounts, refusal};

/// The members of a subnet, by id.
#[derive(Debug, Default)]
pub(super) struct Members(BTreeMap<NodeId, Member>);

impl Members {
    pub(super) fn iter(&self) -> impl Iterator<Item = &Member> {
        self.0.values()
    }

    pub(super) fn get(&self, node: &NodeId) -> Option<&Member> {
        self.0.get(node)
    }

    /// Makes a member, or changes the stake of one. The stake comes out of the account, and goes back to it.
    pub(super) fn register(
        &mut self,
        registration: &Registration,
        params: &SubnetParams,
        accounts: &mut Accounts,
        block: BlockNumber,
    ) -> Result<Member, Error> {
        let Registration {
            node, role, stake, ..
        } = registration;
        if *stake < params.min_stake {
            return Err(Error::new(
                ErrorKind::Forbidden,
                "insufficient_stake",
                format!(
                    "{node} stakes {stake}, and the subnet asks for {}",
                    params.min_stake
                ),
            ));
        }
        let staked = match self.0.get(node) {
            Some(member) if member.role != *role => {
                return Err(Error::invalid(
                    "role_taken",
                    format!("{node} is a member in another role already"),
                )
                .with_hint("leave first, or register another key"));
            }
            Some(member) => member.stake,
            None if self.0.len() >= params.max_members => {
                return Err(Error::new(
                    ErrorKind::Overloaded,
                    "subnet_full",
                    format!("all {} places of the subnet are taken", params.max_members),
                ));
            }
            None => Stake(0),
        };
        if *stake > staked {
            accounts.take(node, Stake(stake.0 - staked.0))?;
        } else {
            accounts.give(node, Stake(staked.0 - stake.0));
        }
        let member = self
            .0
            .entry(node.clone())
            .or_insert_with(|| Member::new(node.as_str(), *role).with_active_since(block));
        member.stake = *stake;
        Ok(member.clone())
    }

    pub(super) fn serve(&mut self, node: &NodeId, endpoint: Endpoint) -> Result<(), Error> {
        let member = self
            .0
            .get_mut(node)
            .ok_or_else(|| refusal::unknown_member(node))?;
        member.endpoint = Some(endpoint);
        Ok(())
    }

    /// Takes a member out, and gives its stake back.
    pub(super) fn leave(&mut self, node: &NodeId, accounts: &mut Accounts) -> Result<(), Error> {
        let member = self.0.remove(node).ok_or_else(|| refusal::unknown_member(node))?;
        accounts.give(node, member.stake);
        Ok(())
    }
}
