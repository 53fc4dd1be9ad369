//! How an endpoint is reached.

use std::{fmt, path::PathBuf, sync::Arc, time::Duration};

use http::HeaderValue;
use synapse_core::{Dialect, Error, NodeId, SystemClock, WallClock};

use super::{OpenAiModule, sign::Outgoing, transport::Transport, vet::Reach};
use crate::sse::Limits;

/// How an [`OpenAiModule`] reaches its endpoint. Every wait and every size has a limit; the defaults suit a server on the
/// same network that may take minutes for a reply that is not streamed.
#[derive(Debug, Clone)]
#[must_use]
pub struct Builder {
    url: String,
    api_key: Option<Secret>,
    settings: Settings,
}

/// What [`Builder`] sets, as calls read it.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub(super) connect_timeout: Duration,
    pub(super) head_timeout: Duration,
    pub(super) idle_timeout: Duration,
    pub(super) limits: Limits,
    pub(super) max_reply: usize,
    pub(super) idle_per_host: usize,
    pub(super) unix_socket: Option<PathBuf>,
    /// What the endpoint takes besides OpenAI's format.
    pub(super) speaks: Vec<&'static dyn Dialect>,
    pub(super) served_by: Option<NodeId>,
    pub(super) signing: Option<Outgoing>,
    pub(super) node_key: Option<NodeId>,
    /// Whose address it is, where that is not trusted although its certificate is an ordinary one.
    pub(super) listed: Option<NodeId>,
    pub(super) reach: Reach,
    pub(super) clock: Arc<dyn WallClock>,
}

/// Text that no log may show.
#[derive(Clone)]
struct Secret(String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

impl Builder {
    pub(super) fn new(url: String) -> Self {
        Self {
            url,
            api_key: None,
            settings: Settings {
                connect_timeout: Duration::from_secs(5),
                head_timeout: Duration::from_secs(300),
                idle_timeout: Duration::from_secs(30),
                limits: Limits::default(),
                max_reply: 64 << 20,
                idle_per_host: 32,
                unix_socket: None,
                speaks: Vec::new(),
                served_by: None,
                signing: None,
                node_key: None,
                listed: None,
                reach: Reach::default(),
                clock: Arc::new(SystemClock),
            },
        }
    }

    pub(super) fn at(self, url: String) -> Self {
        Self { url, ..self }
    }

    pub(super) fn signed(mut self, outgoing: Outgoing) -> Self {
        self.settings.signing = Some(outgoing);
        self
    }

    pub(super) fn clock(&self) -> Arc<dyn WallClock> {
        self.settings.clock.clone()
    }

    /// Proves who asks with `authorization: Bearer …`. Never shown in logs or errors. None unless set.
    pub fn api_key(mut self, key: impl Into<String>) -> Self {
        self.api_key = Some(Secret(key.into()));
        self
    }

    /// The longest wait for a connection, TLS included. 5 s unless set.
    pub fn connect_timeout(mut self, limit: Duration) -> Self {
        self.settings.connect_timeout = limit;
        self
    }

    /// The longest wait for a reply's head and its first content; comments do not extend it. 5 minutes unless set: a reply
    /// that is not streamed has no content before it is done.
    pub fn head_timeout(mut self, limit: Duration) -> Self {
        self.settings.head_timeout = limit;
        self
    }

    /// The longest silence within a body; a comment breaks it. 30 s unless set.
    pub fn idle_timeout(mut self, limit: Duration) -> Self {
        self.settings.idle_timeout = limit;
        self
    }

    /// The longest line of a streamed reply, in bytes. 1 MiB unless set.
    pub fn max_line(mut self, bytes: usize) -> Self {
        self.settings.limits.line = bytes;
        self
    }

    /// The longest event of a streamed reply, in bytes. 1 MiB unless set.
    pub fn max_event(mut self, bytes: usize) -> Self {
        self.settings.limits.event = bytes;
        self
    }

    /// The longest reply that is not streamed, in bytes: it is held in memory. 64 MiB unless set.
    pub fn max_reply(mut self, bytes: usize) -> Self {
        self.settings.max_reply = bytes;
        self
    }

    /// How many idle connections are kept for later. 32 unless set.
    pub fn idle_connections(mut self, count: usize) -> Self {
        self.settings.idle_per_host = count;
        self
    }

    /// Another wire format that the endpoint takes besides OpenAI's: what comes in it is passed on as it came. Of a server
    /// of ours it need not be said.
    pub fn speaks(mut self, dialect: &'static dyn Dialect) -> Self {
        self.settings.speaks.push(dialect);
        self
    }

    /// Connects to this Unix socket instead of the address, whose host then is only what the request says.
    #[cfg(unix)]
    pub fn unix_socket(mut self, path: impl Into<PathBuf>) -> Self {
        self.settings.unix_socket = Some(path.into());
        self
    }

    /// Who serves there, whatever the server says of itself. Unless set, its header `x-synapse-miner` is believed.
    pub fn served_by(mut self, node: NodeId) -> Self {
        self.settings.served_by = Some(node);
        self
    }

    /// Whose key the endpoint's certificate must be vouched for with, as [`tls`](crate::tls) has it, instead of an
    /// authority; none unless set.
    ///
    /// It makes a member of the endpoint, whose address is not trusted either: only public addresses are dialled, and
    /// plain HTTP is spoken on loopback alone. Each has its exception below; none of them opens link-local addresses,
    /// clouds' metadata services, multicast, or an address of one kind within one of another. Sessions are not resumed.
    pub fn node_key(mut self, node: NodeId) -> Self {
        self.settings.node_key = Some(node);
        self
    }

    /// Whether a member may be on this machine, as in a demo or a test. No unless set.
    pub fn allow_loopback(mut self, allowed: bool) -> Self {
        self.settings.reach.loopback = allowed;
        self
    }

    /// Whether a member may be at a private address: RFC 1918, carrier-grade NAT, unique local. No unless set.
    pub fn allow_private(mut self, allowed: bool) -> Self {
        self.settings.reach.private = allowed;
        self
    }

    /// Whether a member that advertises `http` is asked so although it is not on this machine. No unless set. A member
    /// that advertises `https` is never asked without.
    pub fn allow_plain_http(mut self, allowed: bool) -> Self {
        self.settings.reach.plain_http = allowed;
        self
    }

    /// The clock by which a member's certificate is valid and requests are signed. The machine's unless set.
    pub fn wall_clock(mut self, clock: Arc<dyn WallClock>) -> Self {
        self.settings.clock = clock;
        self
    }

    /// The module; the network is not touched before [`initialize`](synapse_core::InferenceModule::initialize).
    ///
    /// # Errors
    /// Where the address or the key cannot be used, or an `https` address is asked for on a machine whose certificate store
    /// cannot be read. `address_refused` and `plain_http_refused` where a member's address is not one that is dialled; one
    /// that is a name may be refused later, once it is resolved.
    pub fn build(self) -> Result<OpenAiModule, Error> {
        let (transport, settings) = self.transport()?;
        Ok(OpenAiModule::new(transport, settings))
    }

    /// The address is one that `node` wrote: only such are dialled as [`node_key`](Self::node_key) has it.
    pub(super) fn listed(mut self, node: NodeId) -> Self {
        self.settings.listed = Some(node);
        self
    }

    pub(super) fn transport(self) -> Result<(Transport, Settings), Error> {
        let authorization = self.api_key.map(bearer).transpose()?;
        let transport = Transport::new(&self.url, authorization, &self.settings)?;
        Ok((transport, self.settings))
    }
}

fn bearer(Secret(key): Secret) -> Result<HeaderValue, Error> {
    let mut value = HeaderValue::try_from(format!("Bearer {key}")).map_err(|_| {
        Error::invalid(
            "bad_api_key",
            "the API key has characters that no header can carry",
        )
        .with_hint("check for a line break at its end")
    })?;
    value.set_sensitive(true);
    Ok(value)
}
