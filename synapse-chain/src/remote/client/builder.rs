//! How a chain in another process is reached.

use std::{sync::Arc, time::Duration};

use synapse_core::{Error, NodeId};

use super::{chain::RemoteChain, link::Link};
use crate::{ChainId, LocalChain};

/// How a chain in another process is reached; made by [`LocalChain::remote`]. Every wait has a bound.
///
/// The directory comes from the chain, and with it every key that a node trusts. So plain `http` is for a chain on the
/// same machine, and over `https` the chain's certificate must be [vouched for](synapse_http::tls) by the key that
/// [`server_key`](Self::server_key) names.
///
/// ```no_run
/// use synapse_chain::{ChainId, LocalChain};
///
/// # async fn connect() -> Result<(), synapse_core::Error> {
/// let chain = LocalChain::remote("https://chain.example:9933")
///     .server_key("5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY".into())
///     .expect_chain(ChainId::new("local-0123456789abcdef"))
///     .connect()
///     .await?;
/// # drop(chain);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until it connects"]
pub struct RemoteChainBuilder {
    url: String,
    waits: Waits,
    trust: Trust,
    chain: Option<ChainId>,
}

/// How long a chain is waited for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Waits {
    /// For a connection, a whole reply, or the next sign of life of one that goes on.
    pub(super) silence: Duration,
    /// For a chain that is away, before a question fails.
    pub(super) patience: Duration,
    /// For a transaction's receipt.
    pub(super) submission: Duration,
}

/// Whose word is taken for the chain's.
#[derive(Debug, Clone, Default)]
pub(super) struct Trust {
    pub(super) server_key: Option<NodeId>,
    pub(super) plain_http: bool,
}

impl RemoteChainBuilder {
    /// The key that vouches for the chain's certificate, which `https` needs: what a devchain says that it serves with.
    pub fn server_key(mut self, key: NodeId) -> Self {
        self.trust.server_key = Some(key);
        self
    }

    /// Whether plain `http` may be spoken with another machine, such as within a private network. No unless set:
    /// whoever is on the way could say who the members are.
    pub fn allow_plain_http(mut self, allowed: bool) -> Self {
        self.trust.plain_http = allowed;
        self
    }

    /// Which chain it must be. Unless set, the one that answers first: after a restart, too.
    pub fn expect_chain(mut self, chain: ChainId) -> Self {
        self.chain = Some(chain);
        self
    }

    /// How long the chain may be silent before its connection is given up and made anew; 15 s by default. A chain sends
    /// a sign of life every 5 s; what it sends must be whole in that time.
    pub fn silence_timeout(mut self, limit: Duration) -> Self {
        self.waits.silence = limit;
        self
    }

    /// How long a chain that is away is waited for: by [`connect`](Self::connect) and by whatever is asked of it; 30 s
    /// by default.
    pub fn patience(mut self, limit: Duration) -> Self {
        self.waits.patience = limit;
        self
    }

    /// How long a call may take until its receipt is known; 2 minutes by default. That includes the wait for earlier
    /// calls of the same signer. A transaction that was sent by then fails with `outcome_unknown`, and
    /// [`UnknownOutcome`](crate::remote::UnknownOutcome) has its hash.
    pub fn submission_timeout(mut self, limit: Duration) -> Self {
        self.waits.submission = limit;
        self
    }

    /// The chain, once it answers.
    ///
    /// # Errors
    /// `bad_endpoint`; `plain_http_refused`, `chain_key_missing`, `key_without_tls`; `chain_unreachable`,
    /// `chain_silent` or `not_a_chain` where it does not answer in time; `another_chain`; over `https` what
    /// [`synapse_http::tls`] lists.
    pub async fn connect(self) -> Result<LocalChain, Error> {
        let chain = self.start()?;
        chain.contact().await?;
        Ok(LocalChain::of(Arc::new(chain)))
    }

    /// The chain, whether it answers or not: it is followed in the background, and calls wait for it.
    ///
    /// # Errors
    /// `bad_endpoint`, `plain_http_refused`, `chain_key_missing`, `key_without_tls`.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn connect_lazy(self) -> Result<LocalChain, Error> {
        Ok(LocalChain::of(Arc::new(self.start()?)))
    }

    fn start(self) -> Result<RemoteChain, Error> {
        let link = Link::new(&self.url, &self.trust, self.chain, self.waits)?;
        Ok(RemoteChain::start(link))
    }
}

/// A chain in another process.
impl LocalChain {
    /// The chain at `url`, such as `http://127.0.0.1:9933`, once it answers. For one on another machine see
    /// [`remote`](Self::remote).
    ///
    /// It waits, and says so in the log, for at most 30 s; [`connect_lazy`](Self::connect_lazy) does not wait. The first
    /// contact settles which chain it is: another one at that address later, or one whose blocks went back, is
    /// refused. While the chain is away, what was last known stays; it is followed again once it is back.
    ///
    /// It is followed for as long as there is a handle of it, or a [`Watch`](synapse_core::Watch) that a handle gave.
    ///
    /// # Errors
    /// As [`RemoteChainBuilder::connect`].
    pub async fn connect(url: &str) -> Result<Self, Error> {
        Self::remote(url).connect().await
    }

    /// The chain at `url`, whether it answers already or not: so that nodes and their chain may start in any order.
    ///
    /// # Errors
    /// As [`RemoteChainBuilder::connect_lazy`].
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn connect_lazy(url: &str) -> Result<Self, Error> {
        Self::remote(url).connect_lazy()
    }

    /// The chain at `url`, with whom to trust and how long to wait.
    pub fn remote(url: &str) -> RemoteChainBuilder {
        RemoteChainBuilder {
            url: url.to_owned(),
            waits: Waits {
                silence: Duration::from_secs(15),
                patience: Duration::from_secs(30),
                submission: Duration::from_secs(120),
            },
            trust: Trust::default(),
            chain: None,
        }
    }
}
