//! How a chain in another process is reached.

use std::{sync::Arc, time::Duration};

use synapse_core::Error;

use super::{chain::RemoteChain, link::Link};
use crate::LocalChain;

/// How a chain in another process is reached; made by [`LocalChain::remote`]. Every wait has a bound.
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until it connects"]
pub struct RemoteChainBuilder {
    url: String,
    waits: Waits,
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

impl RemoteChainBuilder {
    /// How long the chain may be silent before its connection is given up and made anew; 15 s by default. A chain sends
    /// a sign of life every 5 s.
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

    /// How long a transaction is sent again until its receipt is known; 2 minutes by default. After that the error is
    /// `outcome_unknown`, and names its hash.
    pub fn submission_timeout(mut self, limit: Duration) -> Self {
        self.waits.submission = limit;
        self
    }

    /// The chain, once it answers.
    ///
    /// # Errors
    /// `bad_endpoint`; `chain_unreachable`, `chain_silent` or `not_a_chain` where it does not answer in time.
    pub async fn connect(self) -> Result<LocalChain, Error> {
        let chain = self.start()?;
        chain.contact().await?;
        Ok(LocalChain::of(Arc::new(chain)))
    }

    /// The chain, whether it answers or not: it is followed in the background, and calls wait for it.
    ///
    /// # Errors
    /// `bad_endpoint`.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn connect_lazy(self) -> Result<LocalChain, Error> {
        Ok(LocalChain::of(Arc::new(self.start()?)))
    }

    fn start(self) -> Result<RemoteChain, Error> {
        Ok(RemoteChain::start(Link::new(&self.url, self.waits)?))
    }
}

/// A chain in another process.
impl LocalChain {
    /// The chain at `url`, such as `http://127.0.0.1:9933`, once it answers.
    ///
    /// It waits, and says so in the log, for at most 30 s; [`connect_lazy`](Self::connect_lazy) does not wait. The first
    /// contact settles which chain it is: another one at that address later, or one whose blocks went back, is
    /// refused. While the chain is away, what was last known stays; it is followed again once it is back.
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

    /// The chain at `url`, with other than the usual waits.
    pub fn remote(url: &str) -> RemoteChainBuilder {
        RemoteChainBuilder {
            url: url.to_owned(),
            waits: Waits {
                silence: Duration::from_secs(15),
                patience: Duration::from_secs(30),
                submission: Duration::from_secs(120),
            },
        }
    }
}
