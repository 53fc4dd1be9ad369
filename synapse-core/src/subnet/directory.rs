//! Who belongs to a subnet, and where they are.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{BlockNumber, Error, NodeId, Stake};

/// The members of a subnet at one block, sorted by id.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Directory {
    members: Vec<Member>,
    block: BlockNumber,
}

impl Directory {
    /// The members at `block`.
    pub fn new(members: impl IntoIterator<Item = Member>, block: BlockNumber) -> Self {
        let mut members: Vec<Member> = members.into_iter().collect();
        members.sort_by(|a, b| a.node.cmp(&b.node));
        Self { members, block }
    }

    /// The block at which it was so.
    #[must_use]
    pub fn block(&self) -> BlockNumber {
        self.block
    }

    /// All members.
    #[must_use]
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// One member.
    #[must_use]
    pub fn get(&self, node: &NodeId) -> Option<&Member> {
        self.members
            .binary_search_by(|member| member.node.cmp(node))
            .ok()
            .map(|at| &self.members[at])
    }

    /// The miners that say where they are.
    pub fn miners(&self) -> impl Iterator<Item = &Member> {
        self.members
            .iter()
            .filter(|member| member.role == Role::Miner && member.endpoint.is_some())
    }
}

/// A member of a subnet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Member {
    /// Who it is.
    pub node: NodeId,
    /// Whose stake it holds, who earns what it earns, and who may take it out: another account, or the node itself.
    pub owner: NodeId,
    /// What it does.
    pub role: Role,
    /// Where it can be reached; `None` until it serves.
    pub endpoint: Option<Endpoint>,
    /// What it staked.
    pub stake: Stake,
    /// A digest of the capabilities it advertises, where it does: `ModuleCapabilities::digest`.
    pub capabilities: Option<String>,
    /// Since which block it is a member.
    pub active_since: BlockNumber,
}

impl Member {
    /// A member without stake that serves nowhere yet, and is its own owner.
    pub fn new(node: impl Into<NodeId>, role: Role) -> Self {
        let node = node.into();
        Self {
            owner: node.clone(),
            node,
            role,
            endpoint: None,
            stake: Stake::default(),
            capabilities: None,
            active_since: BlockNumber::default(),
        }
    }

    /// The same, owned by `owner`.
    #[must_use]
    pub fn with_owner(mut self, owner: NodeId) -> Self {
        self.owner = owner;
        self
    }

    /// The same, reachable at `endpoint`.
    #[must_use]
    pub fn with_endpoint(mut self, endpoint: Endpoint) -> Self {
        self.endpoint = Some(endpoint);
        self
    }

    /// The same with `stake`.
    #[must_use]
    pub fn with_stake(mut self, stake: Stake) -> Self {
        self.stake = stake;
        self
    }

    /// The same with the digest of the capabilities that it advertises.
    #[must_use]
    pub fn with_capabilities(mut self, digest: impl Into<String>) -> Self {
        self.capabilities = Some(digest.into());
        self
    }

    /// The same, a member since `block`.
    #[must_use]
    pub fn with_active_since(mut self, block: BlockNumber) -> Self {
        self.active_since = block;
        self
    }
}

/// What a member does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Role {
    /// Takes requests from users and judges miners.
    Validator,
    /// Serves models.
    Miner,
}

/// What it takes to become a member.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Registration {
    /// Who registers.
    pub node: NodeId,
    /// As what.
    pub role: Role,
    /// With how much stake.
    pub stake: Stake,
}

impl Registration {
    /// A registration of `node` as `role` with `stake`.
    pub fn new(node: impl Into<NodeId>, role: Role, stake: Stake) -> Self {
        Self {
            node: node.into(),
            role,
            stake,
        }
    }
}

/// What a member tells its subnet of how it serves. It takes the place of all that it told before.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Serving {
    /// Where it can be reached.
    pub endpoint: Endpoint,
    /// A digest of what it can do there, where it says so: `ModuleCapabilities::digest`.
    pub capabilities: Option<String>,
}

impl Serving {
    /// Of a member that serves at `endpoint`.
    #[must_use]
    pub fn new(endpoint: Endpoint) -> Self {
        Self {
            endpoint,
            capabilities: None,
        }
    }

    /// The same with the digest of what it can do there.
    #[must_use]
    pub fn with_capabilities(mut self, digest: impl Into<String>) -> Self {
        self.capabilities = Some(digest.into());
        self
    }
}

impl From<Endpoint> for Serving {
    fn from(endpoint: Endpoint) -> Self {
        Self::new(endpoint)
    }
}

/// Where a member can be reached. Today an HTTP address; a member that dials out has a kind of its own later.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[non_exhaustive]
pub enum Endpoint {
    /// An `http` or `https` address; a path in it is a prefix of every path that is asked.
    Http(http::Uri),
}

impl Endpoint {
    /// The longest address, in bytes: every follower of a subnet gets all of them.
    pub const MAX_LENGTH: usize = 512;

    /// An HTTP endpoint: `http://127.0.0.1:8091`. Slashes at its end are left away.
    ///
    /// # Errors
    /// Where `url` is no absolute `http` or `https` address, is longer than [`MAX_LENGTH`](Self::MAX_LENGTH), or has
    /// credentials, a query, a fragment, a quote or a backslash.
    pub fn http(url: &str) -> Result<Self, Error> {
        let fault = |why: &str| {
            let shown: String = url.chars().take(64).collect();
            Error::invalid("bad_endpoint", format!("the endpoint {shown:?} {why}"))
                .with_hint("write it as http://host:port")
        };
        if url.len() > Self::MAX_LENGTH {
            return Err(fault("is too long"));
        }
        // What JSON has to escape would take more room than it has bytes.
        if url.contains(['"', '\\']) {
            return Err(fault("has a quote or a backslash"));
        }
        let parse = |url: &str| {
            url.parse::<http::Uri>()
                .map_err(|error| fault("is no address").with_source(error))
        };
        let uri = parse(url)?;
        match (uri.scheme_str(), uri.authority()) {
            (Some("http" | "https"), Some(authority)) if authority.as_str().contains('@') => {
                Err(fault("carries credentials"))
            }
            (Some("http" | "https"), Some(authority))
                if authority.as_str() != authority.host() && authority.port_u16().is_none() =>
            {
                Err(fault("has no port from 0 to 65535"))
            }
            (Some("http" | "https"), Some(_)) if uri.query().is_some() || url.contains('#') => {
                Err(fault("has a query or a fragment"))
            }
            (Some("http" | "https"), Some(_)) => Ok(Self::Http(parse(url.trim_end_matches('/'))?)),
            _ => Err(fault("has no http or https scheme")),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http(uri) => f.write_str(uri.to_string().trim_end_matches('/')),
        }
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Endpoint({self})")
    }
}

impl TryFrom<String> for Endpoint {
    type Error = Error;

    fn try_from(url: String) -> Result<Self, Error> {
        Self::http(&url)
    }
}

impl From<Endpoint> for String {
    fn from(endpoint: Endpoint) -> Self {
        endpoint.to_string()
    }
}
