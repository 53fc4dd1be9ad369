//! Sending a transaction until it is known what became of it.

use bytes::Bytes;
use http::StatusCode;
use synapse_core::{BlockNumber, Error, ErrorKind};
use tokio::time::{Instant, sleep, timeout_at};

use super::{
    link::{Link, is_distrusted, retries},
    unknown::UnknownOutcome,
};
use crate::{
    Receipt, SignedTransaction, TxHash,
    local::KEPT_BLOCKS,
    remote::wire::{Chain, Waiting},
};

/// Sends the same bytes until there is a receipt, or proof that there never will be one.
///
/// 'Unknown' is not 'absent'. Only what the chain itself says, by a code that is known to mean it, shows that it did not
/// take the bytes; a connection that broke and a proxy's failure do not, and are answered by the same bytes again.
pub(super) async fn submit(
    link: &Link,
    transaction: &SignedTransaction,
    until: Instant,
) -> Result<Receipt, Error> {
    let mut sending = Sending {
        link,
        hash: transaction.hash(),
        valid_until: transaction.read()?.valid_until,
        body: serde_json::to_vec(transaction)
            .map(Bytes::from)
            .map_err(|error| {
                Error::internal("transaction_not_written", "the transaction has no JSON form")
                    .with_source(error)
            })?,
        started: link.seen().map_or(0, |head| head.block.0),
        maybe: false,
        last: None,
    };
    match timeout_at(until, sending.send()).await {
        Ok(verdict) => verdict,
        Err(_) => Err(sending.late()),
    }
}

/// A receipt of a block that is kept.
pub(super) async fn receipt(link: &Link, hash: &TxHash) -> Result<Option<Receipt>, Error> {
    found(link.get(&format!("/v1/transactions/{hash}")).await)
}

fn found(answer: Result<Receipt, Error>) -> Result<Option<Receipt>, Error> {
    match answer {
        Ok(receipt) => Ok(Some(receipt)),
        Err(error) if error.code() == "unknown_transaction" => Ok(None),
        Err(error) => Err(error),
    }
}

/// A transaction on its way.
struct Sending<'a> {
    link: &'a Link,
    hash: TxHash,
    valid_until: BlockNumber,
    body: Bytes,
    /// The newest block that was known when it was first sent: no earlier one holds it.
    started: u64,
    /// Whether the chain may have taken it without our knowing.
    maybe: bool,
    /// What was last in the way.
    last: Option<Error>,
}

/// What came of sending it once.
enum Answer {
    Receipt(Box<Receipt>),
    /// It waits for its block.
    Waiting,
    /// What the chain itself said, with its name.
    Said(Error),
    /// Whatever else.
    Lost(Error),
}

impl Sending<'_> {
    async fn send(&mut self) -> Result<Receipt, Error> {
        let mut backoff = retries();
        loop {
            let place = self.link.place().await;
            if let Some(refused) = self.link.refused() {
                if !self.maybe {
                    return Err(refused);
                }
                self.last = Some(refused);
            } else {
                // Whoever is interrupted between here and the answer does not know.
                let before = std::mem::replace(&mut self.maybe, true);
                let answer = self.once().await;
                drop(place);
                match answer {
                    Answer::Receipt(receipt) => return Ok(*receipt),
                    Answer::Waiting => {
                        self.last = None;
                        backoff.reset();
                    }
                    Answer::Said(error) if is_busy(&error) => {
                        self.maybe = before;
                        self.last = Some(error);
                    }
                    Answer::Said(refusal) if is_refusal(&refusal) => {
                        self.maybe = before;
                        if let Some(verdict) = self.weigh(refusal).await {
                            return verdict;
                        }
                    }
                    Answer::Lost(error) if is_distrusted(&error) || error.code() == "another_chain" => {
                        self.maybe = before;
                        if !before {
                            return Err(error);
                        }
                        self.last = Some(error);
                    }
                    Answer::Lost(error) if error.code() == "chain_unreachable" => {
                        self.maybe = before;
                        self.last = Some(error);
                    }
                    Answer::Said(error) | Answer::Lost(error) => self.last = Some(error),
                }
            }
            if let Some(error) = &self.last {
                let (chain, hash) = (self.link.http().base(), self.hash);
                tracing::debug!(chain, %hash, %error, "sending the transaction again");
            }
            sleep(backoff.next()).await;
        }
    }

    async fn once(&self) -> Answer {
        let reply = match self.link.post("/v1/transactions", self.body.clone()).await {
            Ok(reply) => reply,
            Err(error) => return Answer::Lost(error),
        };
        let base = self.link.http().base();
        let other = || {
            Answer::Lost(Error::broken(
                "not_a_chain",
                "the chain answered for another transaction",
            ))
        };
        if !reply.status.is_success() {
            return Answer::Said(reply.refusal());
        }
        if reply.status == StatusCode::ACCEPTED {
            return match reply.document::<Waiting>(base) {
                Ok(waiting) if waiting.hash == self.hash => Answer::Waiting,
                Ok(_) => other(),
                Err(error) => Answer::Lost(error),
            };
        }
        match reply.document::<Receipt>(base) {
            Ok(receipt) if receipt.hash == self.hash => Answer::Receipt(Box::new(receipt)),
            Ok(_) => other(),
            Err(error) => Answer::Lost(error),
        }
    }

    /// What a refusal of the chain's means for all that was sent; `None` where that is not settled yet.
    async fn weigh(&mut self, refusal: Error) -> Option<Result<Receipt, Error>> {
        // Nothing is signed anew before this process, too, has seen the last block that could hold it: what is signed
        // for blocks that are over expires at once.
        let early = refusal.code() == "transaction_expired" && !self.is_over();
        if !early && !self.maybe {
            return Some(Err(refusal));
        }
        // What was sent before may still be on its way, while its nonce is free and a block may come that takes it.
        if !early && matches!(refusal.code(), "transaction_replayed" | "transaction_expired") {
            match self.settle().await {
                Ok(Some(receipt)) => return Some(Ok(receipt)),
                Ok(None) => return Some(Err(refusal)),
                Err(error) if error.code() == "outcome_unknown" => return Some(Err(error)),
                Err(error) => self.last = Some(error),
            }
        } else {
            self.last = Some(refusal);
        }
        None
    }

    /// Whether a block holds it, once no further one can. `outcome_unknown` where it may have been in a block of which
    /// receipts are not kept any more.
    async fn settle(&self) -> Result<Option<Receipt>, Error> {
        let path = format!("/v1/transactions/{}", self.hash);
        if let Some(receipt) = found(self.link.get_now(&path).await)? {
            return Ok(Some(receipt));
        }
        let chain: Chain = self.link.get_now("/v1/chain").await?;
        if chain.head.block.0 < self.started + KEPT_BLOCKS {
            return Ok(None);
        }
        Err(self.unknown())
    }

    /// Whether this process saw the last block that could hold it.
    fn is_over(&self) -> bool {
        self.link
            .seen()
            .is_some_and(|head| head.block >= self.valid_until)
    }

    fn late(&self) -> Error {
        match &self.last {
            _ if self.maybe => self.unknown(),
            Some(error) => error.clone(),
            None => Error::new(
                ErrorKind::Overloaded,
                "too_many_submissions",
                "earlier transactions took all the time there was; this one was not sent",
            ),
        }
    }

    fn unknown(&self) -> Error {
        Error::new(
            ErrorKind::Timeout,
            "outcome_unknown",
            format!(
                "the transaction {} was sent to {}, and it is not known what became of it",
                self.hash,
                self.link.http().base()
            ),
        )
        .with_hint("ask for its receipt before doing the same again")
        .with_source(UnknownOutcome::new(self.hash, self.last.clone()))
    }
}

/// Whether the chain said that it did not take these bytes now, and may later.
fn is_busy(error: &Error) -> bool {
    matches!(
        error.code(),
        "mempool_full" | "too_many_submissions" | "chain_halted"
    )
}

/// Whether the chain said that it did not take these bytes. Whatever is not listed may mean that it did.
fn is_refusal(error: &Error) -> bool {
    matches!(
        error.code(),
        "bad_signature"
            | "body_too_large"
            | "malformed_address"
            | "malformed_body"
            | "malformed_signature"
            | "malformed_transaction"
            | "nonce_gap"
            | "nonce_taken"
            | "transaction_expired"
            | "transaction_replayed"
            | "transaction_too_large"
            | "unknown_account"
            | "valid_too_long"
            | "wrong_chain"
    )
}
