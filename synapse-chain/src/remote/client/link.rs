//! What is known of one chain, and how it is asked.

use std::sync::{Mutex, OnceLock};

use bytes::Bytes;
use serde::de::DeserializeOwned;
use synapse_core::{BlockNumber, Error, ErrorKind, Watch, WatchSender};
use tokio::{
    sync::{Notify, Semaphore},
    time::{Duration, Instant, sleep},
};

use super::{
    backoff::Backoff,
    builder::Waits,
    http::{Http, Reply},
};
use crate::{ChainId, Head, TxHash, remote::CHAIN_HEADER};

/// Transactions that are sent at once; further ones wait.
const MOST_AT_ONCE: usize = 64;

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
}

impl Link {
    pub(super) fn new(url: &str, waits: Waits) -> Result<Self, Error> {
        Ok(Self {
            http: Http::new(url, waits.silence)?,
            waits,
            chain: OnceLock::new(),
            head: Watch::channel(Head {
                block: BlockNumber(0),
                time: 0,
                hash: TxHash::default(),
            })
            .0,
            places: Semaphore::new(MOST_AT_ONCE),
            answered: Notify::new(),
            seen: Mutex::default(),
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
                format!("{} is the chain {said} now, and was {chain}", self.http.base()),
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
        loop {
            match self.get_now(path).await {
                Err(error) if is_away(&error) => {
                    let wait = backoff.next();
                    if Instant::now() + wait >= until {
                        return Err(error);
                    }
                    tracing::debug!(chain = self.http.base(), %error, "the chain is away; asking again");
                    sleep(wait).await;
                }
                answer => return answer,
            }
        }
    }

    /// Sends once, after those that came before.
    pub(super) async fn post(&self, path: &str, body: Bytes) -> Result<Reply, Error> {
        let _place = self.places.acquire().await.expect("it is never closed");
        let reply = self.http.post(path, body).await?;
        self.check_reply(&reply)?;
        Ok(reply)
    }

    fn check_reply(&self, reply: &Reply) -> Result<(), Error> {
        match &reply.chain {
            Some(chain) => {
                self.check_chain(chain)?;
                self.answered.notify_waiters();
                Ok(())
            }
            None => Err(Error::broken(
                "not_a_chain",
                format!(
                    "{} answers without {CHAIN_HEADER}, as no chain does",
                    self.http.base()
                ),
            )
            .with_hint("check that the address is a chain's")),
        }
    }
}

/// Whether the chain may answer the same question later.
pub(super) fn is_away(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Unavailable | ErrorKind::Timeout | ErrorKind::Overloaded
    ) && error.code() != "another_chain"
}

/// Waits between attempts to ask the chain something.
pub(super) fn retries() -> Backoff {
    Backoff::new(Duration::from_millis(20), Duration::from_secs(2))
}
