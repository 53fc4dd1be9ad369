//! What is known of one chain, and how it is asked.

use std::sync::{Mutex, OnceLock};

use bytes::Bytes;
use reqwest::Response;
use serde::de::DeserializeOwned;
use synapse_core::{BlockNumber, Error, ErrorKind, Watch, WatchSender};
use tokio::{
    sync::{Notify, Semaphore, SemaphorePermit},
    time::{Duration, Instant, sleep, timeout_at},
};

use super::{
    backoff::Backoff,
    builder::{Trust, Waits},
    http::{Http, Reply},
};
use crate::{ChainId, Head, TxHash, remote::CHAIN_HEADER};

/// Transactions that are sent at once; further ones wait. A chain takes so many connections of one machine and no more.
const MOST_AT_ONCE: usize = 16;

/// One chain: how it is reached, which it is, and its newest block as far as is known.
#[derive(Debug)]
pub(super) struct Link {
    http: Http,
    pub(super) waits: Waits,
    chain: OnceLock<ChainId>,
    head: WatchSender<Head>,
    places: Semaphore,
    answered: Notify,
    /// The newest block that was seen, if any was.
    seen: Mutex<Option<Head>>,
    /// Why what answers there is not the chain that was followed, since it was last noticed.
    refused: Mutex<Option<Error>>,
}

impl Link {
    /// A chain that is not contacted yet; `expected` where it is known which it must be.
    pub(super) fn new(
        url: &str,
        trust: &Trust,
        expected: Option<ChainId>,
        waits: Waits,
    ) -> Result<Self, Error> {
        Ok(Self {
            http: Http::new(url, trust, waits.silence)?,
            waits,
            chain: expected.map_or_else(OnceLock::new, OnceLock::from),
            head: Watch::channel(Head {
                block: BlockNumber(0),
                time: 0,
                hash: TxHash::default(),
            })
            .0,
            places: Semaphore::new(MOST_AT_ONCE),
            answered: Notify::new(),
            seen: Mutex::default(),
            refused: Mutex::default(),
        })
    }

    pub(super) fn http(&self) -> &Http {
        &self.http
    }

    /// Which chain it is, once it answered.
    pub(super) fn chain(&self) -> Option<&ChainId> {
        self.chain.get()
    }

    /// The newest block that was seen, if any was.
    pub(super) fn seen(&self) -> Option<Head> {
        *self.seen.lock().expect("nothing panics while it holds the block")
    }

    /// Why nothing is sent there: what answers is another chain, or this one with another history.
    pub(super) fn refused(&self) -> Option<Error> {
        self.refused.lock().expect(UNPOISONED).clone()
    }

    /// Notes what a follower found: the chain that was followed, or another one.
    pub(super) fn found(&self, refused: Option<Error>) {
        *self.refused.lock().expect(UNPOISONED) = refused;
    }

    /// Waits until nobody follows the newest block.
    pub(super) async fn unfollowed(&self) {
        self.head.closed().await;
    }

    pub(super) fn follow_head(&self) -> Watch<Head> {
        self.head.follow()
    }

    /// Waits for the chain's next answer to anybody.
    pub(super) async fn answered(&self) {
        self.answered.notified().await;
    }

    /// The first contact settles which chain it is; whatever another chain says later is refused.
    pub(super) fn check_chain(&self, said: &ChainId) -> Result<(), Error> {
        let chain = self.chain.get_or_init(|| said.clone());
        if chain != said {
            return Err(Error::new(
                ErrorKind::Unavailable,
                "another_chain",
                format!(
                    "{} is the chain {said}, and {chain} is expected there",
                    self.http.base()
                ),
            )
            .with_hint("start the chain that was there before, or this node anew"));
        }
        Ok(())
    }

    /// Takes a newer block; an older one, of a follower that lags, changes nothing.
    pub(super) fn advance(&self, head: Head) {
        let mut seen = self.seen.lock().expect("nothing panics while it holds the block");
        if seen.is_none_or(|seen| seen.block < head.block) {
            *seen = Some(head);
            self.head.set(head);
        }
    }

    /// Asks once for a document.
    pub(super) async fn get_now<T: DeserializeOwned>(&self, path: &str) -> Result<T, Error> {
        let reply = self.http.get(path).await?;
        self.check_reply(&reply)?;
        reply.document(self.http.base())
    }

    /// Asks for a document, and again while the chain is away.
    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Error> {
        let until = Instant::now() + self.waits.patience;
        let mut backoff = retries();
        let mut last = None;
        let asking = async {
            loop {
                match self.get_now(path).await {
                    Err(error) if is_away(&error) => {
                        tracing::debug!(chain = self.http.base(), %error, "the chain is away; asking again");
                        last = Some(error);
                        sleep(backoff.next()).await;
                    }
                    answer => return answer,
                }
            }
        };
        match timeout_at(until, asking).await {
            Ok(answer) => answer,
            Err(_) => Err(last.unwrap_or_else(|| self.http.silent())),
        }
    }

    /// A place among those that send, after those that came before.
    pub(super) async fn place(&self) -> SemaphorePermit<'_> {
        self.places.acquire().await.expect("it is never closed")
    }

    /// Sends once. What comes back is the chain's own answer.
    pub(super) async fn post(&self, path: &str, body: Bytes) -> Result<Reply, Error> {
        let reply = self.http.post(path, body).await?;
        self.check_reply(&reply)?;
        Ok(reply)
    }

    /// A reply that goes on.
    pub(super) async fn stream(&self, path: &str) -> Result<Response, Error> {
        match self.http.stream(path).await? {
            Ok(response) => Ok(response),
            Err(reply) => {
                self.check_reply(&reply)?;
                Err(reply.refusal())
            }
        }
    }

    fn check_reply(&self, reply: &Reply) -> Result<(), Error> {
        let base = self.http.base();
        match &reply.chain {
            Some(chain) => {
                self.check_chain(chain)?;
                self.answered.notify_waiters();
                Ok(())
            }
            None if reply.status.is_server_error() => Err(Error::unavailable(
                "gateway_failed",
                format!("something before the chain at {base} answered {}", reply.status),
            )
            .with_hint("check that the chain runs, and what stands before it")),
            None => Err(Error::broken(
                "not_a_chain",
                format!("{base} answers without {CHAIN_HEADER}, as no chain does"),
            )
            .with_hint("check that the address is a chain's")),
        }
    }
}

const UNPOISONED: &str = "nothing panics while it holds the refusal";

/// Whether the chain may answer the same question later.
pub(super) fn is_away(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Unavailable | ErrorKind::Timeout | ErrorKind::Overloaded
    ) && error.code() != "another_chain"
        && !is_distrusted(error)
}

/// Whether no connection came about since the other end did not prove that it is the chain.
pub(super) fn is_distrusted(error: &Error) -> bool {
    error.code().starts_with("tls_")
}

/// Waits between attempts to ask the chain something.
pub(super) fn retries() -> Backoff {
    Backoff::new(Duration::from_millis(20), Duration::from_secs(2))
}
