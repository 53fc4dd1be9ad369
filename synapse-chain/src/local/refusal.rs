//! What is refused, and why.

use synapse_core::{Error, ErrorKind, NodeId, Stake, SubnetId};

pub(super) fn unknown_subnet(id: SubnetId) -> Error {
    Error::new(
        ErrorKind::NotFound,
        "unknown_subnet",
        format!("the chain has no subnet {id}"),
    )
}

pub(super) fn unknown_member(node: &NodeId) -> Error {
    Error::new(
        ErrorKind::NotFound,
        "unknown_member",
        format!("{node} is no member of the subnet"),
    )
    .with_hint("register it first")
}

pub(super) fn overdrawn(account: &NodeId, wanted: Stake, held: Stake) -> Error {
    Error::new(
        ErrorKind::Forbidden,
        "insufficient_balance",
        format!("{account} holds {held}, and {wanted} is needed"),
    )
    .with_hint("fund the account")
}

pub(super) fn overflow(account: &NodeId) -> Error {
    Error::invalid(
        "amount_overflow",
        format!("with this amount for {account} the chain would hold more than it can count"),
    )
}

pub(super) fn not_the_owner(account: &NodeId, node: &NodeId) -> Error {
    Error::new(
        ErrorKind::Forbidden,
        "not_the_owner",
        format!("{account} does not own the member {node}"),
    )
    .with_hint("sign with the owner's key")
}

pub(super) fn not_the_node(account: &NodeId, node: &NodeId) -> Error {
    Error::new(
        ErrorKind::Forbidden,
        "not_the_node",
        format!("{account} signed what {node} has to sign itself"),
    )
    .with_hint("sign with the node's own key")
}

pub(super) fn consent_missing(node: &NodeId) -> Error {
    Error::new(
        ErrorKind::Forbidden,
        "consent_missing",
        format!("{node} did not agree to be a member of this owner"),
    )
    .with_hint("register it with its own key at hand: subnet.register_node(..)")
}
