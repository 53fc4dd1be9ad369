//! How entries of the state are named in a store.

use serde::{Deserialize, Serialize};
use synapse_core::{EpochId, NodeId, OperationId, SubnetId};

use super::{Change, State};
use crate::local::table::Table;

/// The name of an entry, written as JSON: no name runs into the next.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Key {
    Supply,
    Account(NodeId),
    Subnet(SubnetId),
    Member(SubnetId, NodeId),
    Submission(SubnetId, EpochId, NodeId),
    Operation(SubnetId, NodeId, OperationId),
    Payouts(SubnetId, EpochId),
    Rotated(SubnetId, NodeId),
}

/// What is done to every table alike.
pub(super) trait AnyTable {
    fn commit(&mut self);
    fn discard(&mut self);
}

impl<K: Ord + Clone, V: Clone> AnyTable for Table<K, V> {
    fn commit(&mut self) {
        Self::commit(self);
    }

    fn discard(&mut self) {
        Self::discard(self);
    }
}

pub(super) fn each(state: &mut State, with: &mut dyn FnMut(&mut dyn AnyTable)) {
    let State {
        supply,
        accounts,
        subnets,
        members,
        submissions,
        operations,
        payouts,
        rotated,
    } = state;
    let tables: [&mut dyn AnyTable; 8] = [
        supply,
        accounts,
        subnets,
        members,
        submissions,
        operations,
        payouts,
        rotated,
    ];
    tables.into_iter().for_each(with);
}

pub(super) fn changes(state: &State) -> Vec<Change> {
    let mut all = Vec::new();
    collect(&mut all, &state.supply, |()| Key::Supply);
    collect(&mut all, &state.accounts, |id| Key::Account(id.clone()));
    collect(&mut all, &state.subnets, |id| Key::Subnet(*id));
    collect(&mut all, &state.members, |(subnet, node)| {
        Key::Member(*subnet, node.clone())
    });
    collect(&mut all, &state.submissions, |(subnet, epoch, node)| {
        Key::Submission(*subnet, *epoch, node.clone())
    });
    collect(&mut all, &state.operations, |(subnet, node, operation)| {
        Key::Operation(*subnet, node.clone(), operation.clone())
    });
    collect(&mut all, &state.payouts, |(subnet, epoch)| {
        Key::Payouts(*subnet, *epoch)
    });
    collect(&mut all, &state.rotated, |(subnet, node)| {
        Key::Rotated(*subnet, node.clone())
    });
    all
}

fn collect<K: Ord + Clone, V: Clone + Serialize>(
    into: &mut Vec<Change>,
    table: &Table<K, V>,
    name: impl Fn(&K) -> Key,
) {
    into.extend(
        table
            .changes()
            .map(|(key, value)| (json(&name(key)), value.map(json))),
    );
}

fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("keys and records have string keys only")
}

/// Reads an entry into its table, as pending.
pub(super) fn load(state: &mut State, key: &[u8], value: &[u8]) -> Result<(), serde_json::Error> {
    match serde_json::from_slice(key)? {
        Key::Supply => state.supply.set((), serde_json::from_slice(value)?),
        Key::Account(id) => state.accounts.set(id, serde_json::from_slice(value)?),
        Key::Subnet(id) => state.subnets.set(id, serde_json::from_slice(value)?),
        Key::Member(subnet, node) => state.members.set((subnet, node), serde_json::from_slice(value)?),
        Key::Submission(subnet, epoch, node) => state
            .submissions
            .set((subnet, epoch, node), serde_json::from_slice(value)?),
        Key::Operation(subnet, node, operation) => state
            .operations
            .set((subnet, node, operation), serde_json::from_slice(value)?),
        Key::Payouts(subnet, epoch) => state.payouts.set((subnet, epoch), serde_json::from_slice(value)?),
        Key::Rotated(subnet, node) => state.rotated.set((subnet, node), serde_json::from_slice(value)?),
    }
    Ok(())
}
