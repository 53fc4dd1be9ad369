//! What happens to a miner.

use std::{fmt, net::SocketAddr};

use synapse_core::{BlockNumber, Endpoint, EpochId, Error, NodeId, Stake};

/// Something that happened to a miner. [`code`](Self::code) names it for machines, [`Display`](fmt::Display) tells it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum MinerEvent {
    /// It serves at this address of its machine.
    Serving(SocketAddr),
    /// It is no member, and does not register itself.
    Unregistered,
    /// It registers, for this much: the fee and the stake.
    Registering {
        /// What that costs.
        cost: Stake,
    },
    /// It is a member.
    Registered {
        /// Since this block.
        since: BlockNumber,
        /// With this much stake.
        stake: Stake,
    },
    /// It may not pay what a registration costs, or was refused; said once, and tried again.
    NotRegistered(Error),
    /// It was a member and is none any more.
    Deregistered,
    /// The directory says where it serves, and what.
    Listed {
        /// Where.
        endpoint: Endpoint,
        /// The digest of what it serves; `None` while it claims nothing.
        capabilities: Option<String>,
    },
    /// The directory says that it is somewhere else, since somebody else has its key.
    ListedElsewhere(Endpoint),
    /// The directory could not be told, and will be again.
    NotListed(Error),
    /// Its module claims something else than before.
    CapabilitiesChanged {
        /// The digest of what it claims now.
        digest: String,
    },
    /// Its module takes nothing, or answers worse than it should, for this reason.
    Unhealthy(String),
    /// Its module is well again.
    Healthy,
    /// Its subnet is not told any more what it serves, since its module has been unwell for too long, for this reason.
    Withdrawn(String),
    /// It cannot be reached from here where validators are told to ask it.
    Unreachable(Error),
    /// It can be reached.
    Reachable,
    /// What it did could not be stored; it pays for nothing until it can be.
    NotStored(Error),
    /// It can be stored again.
    Stored,
    /// What its author or its program wrote panicked, and the node goes on without: the module's `get_capabilities` or
    /// `get_metrics`, the [`Miner`](super::Miner)'s `advertises` or `drain`, or the hook `on_event`, which is not told of
    /// itself.
    Panicked(&'static str),
    /// It does not panic any more.
    Recovered(&'static str),
    /// A validator scored it.
    Scored {
        /// Who.
        validator: NodeId,
        /// Of which epoch.
        epoch: EpochId,
        /// The score; `None` where it has no opinion.
        score: Option<f64>,
    },
    /// It takes nothing new, and lets what is under way end; why, where it is the miner's own wish.
    Draining(Option<String>),
    /// It left the subnet, as it was told to.
    Left,
    /// It did not leave the subnet.
    NotLeft(Error),
}

/// What an event is about: a later one about the same takes an alert back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Topic {
    Life,
    Registration,
    Listing,
    Capabilities,
    Health,
    Reach,
    Storage,
    Panic(&'static str),
    Scores,
}

impl MinerEvent {
    /// A stable name, in `snake_case`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Serving(_) => "serving",
            Self::Unregistered => "unregistered",
            Self::Registering { .. } => "registering",
            Self::Registered { .. } => "registered",
            Self::NotRegistered(_) => "not_registered",
            Self::Deregistered => "deregistered",
            Self::Listed { .. } => "listed",
            Self::ListedElsewhere(_) => "listed_elsewhere",
            Self::NotListed(_) => "not_listed",
            Self::CapabilitiesChanged { .. } => "capabilities_changed",
            Self::Unhealthy(_) => "unhealthy",
            Self::Healthy => "healthy",
            Self::Withdrawn(_) => "withdrawn",
            Self::Unreachable(_) => "unreachable",
            Self::Reachable => "reachable",
            Self::NotStored(_) => "not_stored",
            Self::Stored => "stored",
            Self::Panicked(_) => "panicked",
            Self::Recovered(_) => "recovered",
            Self::Scored { .. } => "scored",
            Self::Draining(_) => "draining",
            Self::Left => "left",
            Self::NotLeft(_) => "not_left",
        }
    }

    /// Whether something is wrong, for as long as nothing else is said about the same.
    #[must_use]
    pub fn is_alert(&self) -> bool {
        matches!(
            self,
            Self::Unregistered
                | Self::NotRegistered(_)
                | Self::Deregistered
                | Self::ListedElsewhere(_)
                | Self::NotListed(_)
                | Self::Unhealthy(_)
                | Self::Withdrawn(_)
                | Self::Unreachable(_)
                | Self::NotStored(_)
                | Self::Panicked(_)
                | Self::NotLeft(_)
        )
    }

    pub(super) fn topic(&self) -> Topic {
        match self {
            Self::Serving(_) | Self::Draining(_) | Self::Left | Self::NotLeft(_) => Topic::Life,
            Self::Unregistered
            | Self::Registering { .. }
            | Self::Registered { .. }
            | Self::NotRegistered(_)
            | Self::Deregistered => Topic::Registration,
            Self::Listed { .. } | Self::ListedElsewhere(_) | Self::NotListed(_) => Topic::Listing,
            Self::CapabilitiesChanged { .. } => Topic::Capabilities,
            Self::Unhealthy(_) | Self::Withdrawn(_) | Self::Healthy => Topic::Health,
            Self::Unreachable(_) | Self::Reachable => Topic::Reach,
            Self::NotStored(_) | Self::Stored => Topic::Storage,
            Self::Panicked(what) | Self::Recovered(what) => Topic::Panic(what),
            Self::Scored { .. } => Topic::Scores,
        }
    }
}

impl fmt::Display for MinerEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Serving(address) => write!(f, "it serves at {address}"),
            Self::Unregistered => {
                f.write_str("it is no member of the subnet, so nobody asks it until it is registered")
            }
            Self::Registering { cost } => write!(f, "it registers, which costs {cost}"),
            Self::Registered { since, stake } => {
                write!(
                    f,
                    "it is a member of the subnet since block {since}, with a stake of {stake}"
                )
            }
            Self::NotRegistered(error) => write!(f, "it does not register: {error}"),
            Self::Deregistered => f.write_str("it was a member of the subnet, and is none any more"),
            Self::Listed {
                endpoint,
                capabilities: Some(digest),
            } => write!(f, "the subnet's directory lists it at {endpoint} with {digest}"),
            Self::Listed {
                endpoint,
                capabilities: None,
            } => write!(
                f,
                "the subnet's directory lists it at {endpoint}, claiming nothing"
            ),
            Self::ListedElsewhere(other) => write!(
                f,
                "the subnet's directory lists it at {other} now: another process has its key, and one of the two must stop"
            ),
            Self::NotListed(error) => {
                write!(f, "the subnet's directory does not list it as it is yet: {error}")
            }
            Self::CapabilitiesChanged { digest } => write!(f, "its module claims something else: {digest}"),
            Self::Unhealthy(why) => write!(f, "its module is unwell: {why}"),
            Self::Healthy => f.write_str("its module is well"),
            Self::Withdrawn(why) => {
                write!(f, "the subnet is not told any more what it serves: {why}")
            }
            Self::Unreachable(error) => write!(f, "it cannot be reached where validators ask it: {error}"),
            Self::Reachable => f.write_str("it can be reached where validators ask it"),
            Self::NotStored(error) => write!(
                f,
                "what it did could not be stored, so it pays for nothing: {error}"
            ),
            Self::Stored => f.write_str("what it does can be stored"),
            Self::Panicked(what) => write!(
                f,
                "its `{what}` panicked, as the log says, and it goes on without"
            ),
            Self::Recovered(what) => write!(f, "its `{what}` works again"),
            Self::Scored {
                validator,
                epoch,
                score: Some(score),
            } => write!(f, "{validator} scored it {score:.3} in epoch {epoch}"),
            Self::Scored { validator, epoch, .. } => {
                write!(f, "{validator} has no opinion of it in epoch {epoch}")
            }
            Self::Draining(Some(why)) => write!(f, "it takes nothing new: {why}"),
            Self::Draining(None) => f.write_str("it takes nothing new, and lets what is under way end"),
            Self::Left => f.write_str("it left the subnet"),
            Self::NotLeft(error) => write!(f, "it did not leave the subnet: {error}"),
        }
    }
}
