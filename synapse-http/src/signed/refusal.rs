//! Why a request is not taken, in words that an operator can act on.

use std::{borrow::Cow, time::Duration};

use synapse_core::{BlockNumber, Error, ErrorKind, Member, NodeId, Retry, Role, Stake};

use super::{Stamp, claim::Claim};

/// What the code of a refusal with status 401 may be.
pub(crate) const CODES: [&str; 7] = [
    "malformed_auth",
    "wrong_receiver",
    "stale_request",
    "bad_signature",
    "replayed_request",
    "unknown_caller",
    "insufficient_stake",
];

/// When there is room again: entries leave as they came.
const ROOM: Duration = Duration::from_secs(1);

fn refused(code: &'static str, message: impl Into<Cow<'static, str>>) -> Error {
    Error::new(ErrorKind::Unauthenticated, code, message)
}

pub(super) fn malformed(why: impl std::fmt::Display) -> Error {
    refused(
        "malformed_auth",
        format!("the request is not signed as this node takes it: {why}"),
    )
    .with_hint("sign it with btauth/1, by the key of a member of the subnet, for this node")
}

pub(super) fn wrong_receiver(claim: &Claim, own: &NodeId) -> Error {
    let message = match &claim.receiver {
        Some(other) => {
            let other: String = other.chars().take(64).collect();
            format!("the request is signed for {other}, and this node is {own}")
        }
        None => format!("the request is signed for nobody in particular, and this node is {own}"),
    };
    refused("wrong_receiver", message)
        .with_hint("sign each request for the node that it is sent to; the directory says who is where")
}

pub(super) fn too_old(claim: &Claim, now: Stamp) -> Error {
    stale(format!(
        "the request was signed at {}, {} before this node's clock, {now}; at most {} is taken",
        claim.signed_at,
        seconds(now.since(claim.signed_at)),
        seconds(claim.longest_age()),
    ))
}

pub(super) fn in_the_future(claim: &Claim, now: Stamp, skew: Duration) -> Error {
    stale(format!(
        "the request was signed at {}, {} after this node's clock, {now}; at most {} is taken",
        claim.signed_at,
        seconds(claim.signed_at.since(now)),
        seconds(skew),
    ))
}

fn stale(message: String) -> Error {
    refused("stale_request", message)
        .with_hint("keep both machines' clocks in step, and sign each attempt as it is sent")
}

pub(super) fn too_slow(claim: &Claim, now: Stamp) -> Error {
    refused(
        "stale_request",
        format!(
            "the request was signed at {}, and its body was not whole when its {} were over; this node's clock is {now}",
            claim.signed_at,
            seconds(claim.longest_age()),
        ),
    )
    .with_hint("send the body at once, and sign each attempt as it is sent")
}

pub(super) fn bad_signature(claim: &Claim, now: Stamp, cause: Error) -> Error {
    let (scheme, sender, at) = (claim.scheme, &claim.sender, claim.signed_at);
    refused(
        "bad_signature",
        format!(
            "the {scheme} signature is not of {sender} over this request, said to be signed at {at}; this node's clock is {now}"
        ),
    )
    .with_hint("sign method, target with query, and body as they are sent; nothing on the way may change them")
    .with_source(cause)
}

pub(super) fn replayed(claim: &Claim, now: Stamp) -> Error {
    refused(
        "replayed_request",
        format!(
            "a request that {} signed at {} was here already; this node's clock is {now}",
            claim.sender, claim.signed_at
        ),
    )
    .with_hint("sign each attempt anew, with a nonce of its own")
}

pub(super) fn before_start(claim: &Claim, now: Stamp, started: Stamp, floor: Stamp) -> Error {
    refused(
        "replayed_request",
        format!(
            "the request was signed at {}, and this node started at {started} and cannot know whether it was here before; what is signed after {floor} is taken, and its clock is {now}",
            claim.signed_at
        ),
    )
    .with_hint("sign it again in a moment")
}

pub(super) fn before_floor(claim: &Claim, now: Stamp, floor: Stamp) -> Error {
    refused(
        "replayed_request",
        format!(
            "the request was signed at {}, and this node's clock, {now}, was set back: it cannot know whether it was here before; what is signed after {floor} is taken",
            claim.signed_at
        ),
    )
    .with_hint("wait until the clock has passed that time, or restart the node")
}

pub(super) fn not_a_member(sender: &NodeId, block: BlockNumber) -> Error {
    refused(
        "unknown_caller",
        format!("{sender} is no member of this subnet at block {block}"),
    )
    .with_hint("register it, and wait for this node to see the block")
}

pub(super) fn not_in_a_role(member: &Member) -> Error {
    let role = match member.role {
        Role::Validator => "validator",
        Role::Miner => "miner",
        _ => "member of another kind",
    };
    refused(
        "unknown_caller",
        format!(
            "{} is a {role} of this subnet, and this node takes no requests from such",
            member.node
        ),
    )
}

pub(super) fn too_little_stake(member: &Member, least: Stake, block: BlockNumber) -> Error {
    refused(
        "insufficient_stake",
        format!(
            "{} has a stake of {} at block {block}, and this node takes requests from {least} on",
            member.node, member.stake
        ),
    )
    .with_hint("stake more, and wait for this node to see the block")
}

pub(super) fn full(of_caller: bool, claim: &Claim) -> Error {
    let message = match of_caller {
        true => format!(
            "{} makes more requests than this node remembers of one caller",
            claim.sender
        ),
        false => "this node remembers as many requests as it can".to_owned(),
    };
    Error::new(ErrorKind::Overloaded, "replay_store_full", message).with_retry(Retry::After(ROOM))
}

pub(super) fn too_much_unproved(of_caller: bool, sender: &NodeId) -> Error {
    let message = match of_caller {
        true => format!("too many long requests in the name of {sender} are on their way at once"),
        false => "too many long requests are on their way at once".to_owned(),
    };
    Error::new(ErrorKind::Overloaded, "unproved_bodies_full", message)
        .with_retry(Retry::After(ROOM))
        .with_hint("send it again in a moment, or as a shorter one")
}

fn seconds(duration: Duration) -> String {
    format!("{:.3} s", duration.as_secs_f64())
}
