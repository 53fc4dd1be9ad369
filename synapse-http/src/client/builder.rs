//! How an endpoint is reached.

use std::{fmt, time::Duration};

use http::HeaderValue;
use synapse_core::{Error, NodeId};

use super::{OpenAiModule, transport::Transport};
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
    pub(super) served_by: Option<NodeId>,
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
                served_by: None,
            },
        }
    }

    pub(super) fn at(self, url: String) -> Self {
        Self { url, ..self }
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

    /// Who serves there, whatever the server says of itself. Unless set, its header `x-synapse-miner` is believed.
    pub fn served_by(mut self, node: NodeId) -> Self {
        self.settings.served_by = Some(node);
        self
    }

    /// The module; the network is not touched before [`initialize`](synapse_core::InferenceModule::initialize).
    ///
    /// # Errors
    /// Where the address or the key cannot be used, or an `https` address is asked for on a machine whose certificate store
    /// cannot be read.
    pub fn build(self) -> Result<OpenAiModule, Error> {
        let authorization = self.api_key.map(bearer).transpose()?;
        let transport = Transport::new(&self.url, authorization, &self.settings)?;
        Ok(OpenAiModule::new(transport, self.settings))
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
