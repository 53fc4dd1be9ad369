//! Whether a miner registers itself, and what it may pay for that.

use std::time::Duration;

use synapse_core::{Error, ErrorKind, Stake, SubnetId, SubnetParams};

/// Whether a miner registers itself. What it may cost is the fee and the stake together, as the subnet's rules are when it is
/// sent, summed up over the node's whole life: what was paid once is not there for a second time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Register {
    /// Never: somebody else sees to it.
    #[default]
    Never,
    /// Once in the node's life. Where it loses its place, it says so and stays away.
    Once {
        /// What it stakes.
        stake: Stake,
        /// The most that it may spend on it.
        most_cost: Stake,
    },
    /// Whenever it is no member, as long as there is something left to spend.
    Again {
        /// What it stakes each time.
        stake: Stake,
        /// The most that it may spend on it, all times together.
        most_cost: Stake,
    },
}

impl Register {
    /// What it stakes, and the most that it may spend; `None` where it does not register.
    pub(super) fn terms(self) -> Option<(Stake, Stake)> {
        match self {
            Self::Never => None,
            Self::Once { stake, most_cost } | Self::Again { stake, most_cost } => Some((stake, most_cost)),
        }
    }
}

/// What a registration costs: the fee, which is gone, and the stake, which comes back with the place.
pub(super) fn cost(stake: Stake, params: &SubnetParams) -> Stake {
    Stake(stake.0.saturating_add(params.registration_fee.0))
}

/// Whether `cost` more may be spent.
pub(super) fn check(
    subnet: SubnetId,
    (stake, most): (Stake, Stake),
    spent: Stake,
    params: &SubnetParams,
) -> Result<Stake, Error> {
    if stake < params.min_stake {
        return Err(Error::invalid(
            "stake_below_minimum",
            format!(
                "a member of subnet {subnet} stakes at least {}, and this node would stake {stake}",
                params.min_stake
            ),
        )
        .with_hint("let it stake more"));
    }
    let cost = cost(stake, params);
    if cost.0 <= most.0.saturating_sub(spent.0) {
        return Ok(cost);
    }
    Err(Error::invalid(
        "registration_too_dear",
        format!(
            "registering in subnet {subnet} costs {cost}, a fee of {} and a stake of {stake}; {spent} of the {most} \
             that may be spent are spent already",
            params.registration_fee
        ),
    )
    .with_hint("let it spend more, or register it by hand"))
}

/// Whether a registration that failed so may take effect all the same. It does not where the chain said no, had no room for
/// it, or was not there to be told.
pub(super) fn may_have_been_taken(error: &Error) -> bool {
    match error.code() {
        "outcome_unknown" | "commit_failed" => true,
        // What a chain's client says before it sends anything: what it sent has an unknown outcome.
        "call_timeout" | "chain_silent" | "not_a_chain" => false,
        _ => matches!(
            error.kind(),
            ErrorKind::Timeout | ErrorKind::Broken | ErrorKind::Internal
        ),
    }
}

/// A node that had its one registration.
pub(super) fn had_its_place() -> Error {
    Error::invalid(
        "registered_once",
        "this node was a member, left or lost its place, and may register only once",
    )
    .with_hint("let it register again, or register it by hand")
}

/// A registration of which nobody can tell any more what became of it.
pub(super) fn unknown() -> Error {
    Error::invalid(
        "registration_unknown",
        "nobody knows what became of a registration of this node, and it may have been a member and lost its place since",
    )
    .with_hint("let it register again, or register it by hand")
}

/// A registration of which it is not known in time what became of it.
pub(super) fn under_way() -> Error {
    Error::new(
        ErrorKind::Timeout,
        "registration_under_way",
        "this node was told to leave while it registered, and may become a member yet",
    )
    .with_hint("look whether it did, and start it again to let it leave")
}

/// A place that could not be given up in time.
pub(super) fn not_left_in(time: Duration) -> Error {
    Error::new(
        ErrorKind::Timeout,
        "leave_timeout",
        format!("leaving took longer than {time:?}"),
    )
}
