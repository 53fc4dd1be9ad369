//! Why a request is not taken.

use std::time::Duration;

use synapse_core::{Error, ErrorKind, NodeId, Retry, Role, Stake};

use super::rules::CallerLimits;

/// Why a request is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    Unsigned,
    Denied,
    NotAllowed,
    Role,
    Stake,
    InFlight,
    Requests,
    Tokens,
    Callers,
}

impl Reason {
    pub(super) const ALL: [Self; 9] = [
        Self::Unsigned,
        Self::Denied,
        Self::NotAllowed,
        Self::Role,
        Self::Stake,
        Self::InFlight,
        Self::Requests,
        Self::Tokens,
        Self::Callers,
    ];

    /// The label of the metric.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Unsigned => "unsigned",
            Self::Denied => "denied",
            Self::NotAllowed => "not_allowed",
            Self::Role => "role",
            Self::Stake => "stake",
            Self::InFlight => "in_flight",
            Self::Requests => "requests",
            Self::Tokens => "tokens",
            Self::Callers => "callers",
        }
    }
}

pub(super) fn unsigned() -> Error {
    Error::new(
        ErrorKind::Unauthenticated,
        "unsigned_request",
        "the request does not say by a signature who asks, and this miner has rules about who may",
    )
    .with_hint("sign it as a member of the subnet")
}

pub(super) fn denied(node: &NodeId) -> Error {
    forbidden(
        "denied",
        format!("this miner's operator takes nothing from {node}"),
    )
    .with_hint("ask another miner")
}

pub(super) fn not_allowed(node: &NodeId) -> Error {
    forbidden(
        "not_allowed",
        format!("this miner takes requests from some nodes only, and {node} is none of them"),
    )
    .with_hint("ask another miner, or have its operator allow this node")
}

pub(super) fn wrong_role(node: &NodeId, role: Role) -> Error {
    let role = match role {
        Role::Validator => "validator",
        Role::Miner => "miner",
        _ => "member of another kind",
    };
    forbidden(
        "role_not_allowed",
        format!("{node} is a {role} of this subnet, and this miner takes no requests from such"),
    )
}

pub(super) fn too_little_stake(node: &NodeId, stake: Stake, least: Stake) -> Error {
    forbidden(
        "stake_too_low",
        format!("{node} has a stake of {stake}, and this miner takes requests from {least} on"),
    )
    .with_hint("stake more, or ask another miner")
}

fn forbidden(code: &'static str, message: String) -> Error {
    Error::new(ErrorKind::Forbidden, code, message)
}

/// Which of its `limits` a caller exceeds, and when it would not.
pub(super) fn exceeded(reason: Reason, limits: CallerLimits, wait: Duration) -> Error {
    let message = match reason {
        Reason::InFlight => format!(
            "the caller has {} requests under way, as many as it may",
            limits.in_flight.unwrap_or_default()
        ),
        Reason::Requests => format!(
            "the caller made the {} requests that it may make a minute",
            limits.requests.unwrap_or_default()
        ),
        Reason::Tokens => format!(
            "the caller used the {} tokens that it may use a minute, as they are estimated here",
            limits.tokens.unwrap_or_default()
        ),
        _ => {
            return Error::new(
                ErrorKind::Overloaded,
                "callers_full",
                "this miner keeps count of as many callers as it can",
            )
            .with_retry(Retry::After(wait));
        }
    };
    Error::new(ErrorKind::RateLimited, "caller_limit_reached", message)
        .with_retry(Retry::After(wait))
        .with_hint("retry after the time given, or ask another miner")
}
