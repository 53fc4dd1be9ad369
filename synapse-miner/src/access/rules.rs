//! What a caller may.

use std::collections::HashSet;

use synapse_core::{NodeId, Role, Stake};

/// Who may call, and how much each of them.
///
/// By default every validator may, as much as it likes. Who is denied may not, whatever else is said of it; the other rules
/// are looked at in the order of their methods here.
///
/// ```
/// use synapse_core::Stake;
/// use synapse_miner::access::{AccessLayer, AccessRules, CallerLimits};
///
/// let rules = AccessRules::default()
///     .deny(["5FHneW46xGXgs5mUiveU4sbTyGBzmstUspZC92UhjJM694ty".into()])
///     .least_stake(Stake(1_000))
///     .limits(CallerLimits::default().in_flight(8).requests_per_minute(600));
/// let access = AccessLayer::new(rules.clone());
/// access.set_rules(rules.least_stake(Stake(2_000)));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessRules {
    pub(super) deny: HashSet<NodeId>,
    pub(super) only: Option<HashSet<NodeId>>,
    pub(super) roles: Vec<Role>,
    pub(super) least_stake: Stake,
    pub(super) limits: CallerLimits,
}

impl Default for AccessRules {
    fn default() -> Self {
        Self {
            deny: HashSet::new(),
            only: None,
            roles: vec![Role::Validator],
            least_stake: Stake(0),
            limits: CallerLimits::default(),
        }
    }
}

impl AccessRules {
    /// These nodes may not call.
    #[must_use]
    pub fn deny(mut self, nodes: impl IntoIterator<Item = NodeId>) -> Self {
        self.deny = nodes.into_iter().collect();
        self
    }

    /// Only these nodes may; they have to fit the other rules, too.
    #[must_use]
    pub fn only(mut self, nodes: impl IntoIterator<Item = NodeId>) -> Self {
        self.only = Some(nodes.into_iter().collect());
        self
    }

    /// Only members in these roles may. What the node's [`Verifier`](synapse_http::Verifier) refuses does not come this
    /// far: it takes validators only, unless told otherwise.
    #[must_use]
    pub fn roles(mut self, roles: impl IntoIterator<Item = Role>) -> Self {
        self.roles = roles.into_iter().collect();
        self
    }

    /// Only members with at least this stake may. Unlike [`MinerNode::min_stake`](crate::MinerNode::min_stake), which is
    /// set at the start and refuses sooner, it may change while the node runs.
    #[must_use]
    pub fn least_stake(mut self, least: Stake) -> Self {
        self.least_stake = least;
        self
    }

    /// How much each of them may.
    #[must_use]
    pub fn limits(mut self, limits: CallerLimits) -> Self {
        self.limits = limits;
        self
    }
}

/// How much one caller may; by default as much as it likes.
///
/// What is allowed a minute may all be used at once, and comes back evenly: 60 requests a minute are 60 at once, and one more
/// each second. A limit that changes begins anew.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CallerLimits {
    pub(super) in_flight: Option<u32>,
    pub(super) requests: Option<u64>,
    pub(super) tokens: Option<u64>,
}

impl CallerLimits {
    /// Has at most this many requests under way, those that wait in the queue included; at least one.
    #[must_use]
    pub fn in_flight(mut self, requests: u32) -> Self {
        self.in_flight = Some(requests.max(1));
        self
    }

    /// Makes at most this many requests a minute; at least one.
    #[must_use]
    pub fn requests_per_minute(mut self, requests: u64) -> Self {
        self.requests = Some(requests.max(1));
        self
    }

    /// Uses at most about this many tokens a minute, prompts and replies together; at least one.
    ///
    /// They are guessed from the prompt's bytes and from what the request allows its reply, and set right when the reply ends:
    /// as the engine counts, else at a token a chunk; what is refused, or fails before its first word, uses none. A request
    /// for more than all of them takes all of them.
    #[must_use]
    pub fn tokens_per_minute(mut self, tokens: u64) -> Self {
        self.tokens = Some(tokens.max(1));
        self
    }

    /// Whether nothing is limited.
    pub(super) fn is_none(self) -> bool {
        self == Self::default()
    }
}
