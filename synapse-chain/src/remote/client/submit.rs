//! Sending a transaction until it is known what became of it.

use bytes::Bytes;
use http::StatusCode;
use synapse_core::{BlockNumber, Error, ErrorKind};
use tokio::time::{Instant, sleep};

use super::link::{Link, is_away, retries};
use crate::{
    Account, Receipt, SignedTransaction, TxHash,
    local::KEPT_BLOCKS,
    remote::wire::{Chain, Waiting},
};

/// Sends the same bytes until there is a receipt, or proof that there never will be one.
///
/// 'Unknown' is not 'absent': a connection that broke, a chain that restarted and a full mempool are answered by the same
/// bytes again. A refusal counts where nothing was lost before it, or where the chain shows that no block holds the
/// transaction.
pub(super) async fn submit(link: &Link, transaction: &SignedTransaction) -> Result<Receipt, Error> {
    let hash = transaction.hash();
    let body = serde_json::to_vec(transaction)
        .map(Bytes::from)
        .map_err(|error| {
            Error::internal("transaction_not_written", "the transaction has no JSON form").with_source(error)
        })?;
    let started = link.seen().map_or(0, |head| head.block.0);
    let until = Instant::now() + link.waits.submission;
    let valid_until = transaction.read()?.valid_until;
    let mut backoff = retries();
    // Whether the chain may have taken it without our knowing.
    let mut maybe = false;
    loop {
        let error = match once(link, &body, hash).await {
            Ok(Some(receipt)) => return Ok(receipt),
            Ok(None) => {
                maybe = true;
                backoff.reset();
                None
            }
            Err(error) if is_away(&error) => {
                maybe = maybe || !never_arrived(&error);
                Some(error)
            }
            // Nothing is signed anew before this process, too, has seen the last block that could hold it: what is
            // signed for blocks that are over expires at once.
            Err(refusal) if refusal.code() == "transaction_expired" && !seen(link, valid_until) => {
                Some(refusal)
            }
            Err(refusal) if !maybe => return Err(refusal),
            // Nothing is settled while its nonce is not used up: what stands in its way may be lost with the chain's
            // process, as this one was.
            Err(refusal) if matches!(refusal.code(), "nonce_gap" | "nonce_taken") => Some(refusal),
            Err(refusal) => match settle(link, transaction, hash, started).await {
                Ok(Some(receipt)) => return Ok(receipt),
                Ok(None) => return Err(refusal),
                Err(error) if is_away(&error) => Some(error),
                Err(error) => return Err(error),
            },
        };
        let wait = backoff.next();
        if Instant::now() + wait >= until {
            return Err(match error {
                Some(error) if !maybe => error,
                _ => unknown(hash, link),
            });
        }
        if let Some(error) = &error {
            tracing::debug!(chain = link.http().base(), %hash, %error, "sending the transaction again");
        }
        sleep(wait).await;
    }
}

/// A receipt of a block that is kept.
pub(super) async fn receipt(link: &Link, hash: &TxHash) -> Result<Option<Receipt>, Error> {
    match link.get(&format!("/v1/transactions/{hash}")).await {
        Ok(receipt) => Ok(Some(receipt)),
        Err(error) if error.code() == "unknown_transaction" => Ok(None),
        Err(error) => Err(error),
    }
}

/// Sends it once: its receipt, or `None` where it waits for its block.
async fn once(link: &Link, body: &Bytes, hash: TxHash) -> Result<Option<Receipt>, Error> {
    let reply = link.post("/v1/transactions", body.clone()).await?;
    let other = || Error::broken("not_a_chain", "the chain answered for another transaction");
    if reply.status == StatusCode::ACCEPTED {
        let waiting: Waiting = reply.document(link.http().base())?;
        return if waiting.hash == hash {
            Ok(None)
        } else {
            Err(other())
        };
    }
    let receipt: Receipt = reply.document(link.http().base())?;
    if receipt.hash == hash {
        Ok(Some(receipt))
    } else {
        Err(other())
    }
}

/// What a refusal means: the receipt where a block holds the transaction after all, `None` where none does and none
/// will, and `outcome_unknown` where that cannot be told any more.
async fn settle(
    link: &Link,
    transaction: &SignedTransaction,
    hash: TxHash,
    started: u64,
) -> Result<Option<Receipt>, Error> {
    if let Some(receipt) = receipt(link, &hash).await? {
        return Ok(Some(receipt));
    }
    // Its nonce is free, or every block that could hold it was looked through.
    let transaction = transaction.read()?;
    let account: Account = link.get(&format!("/v1/accounts/{}", transaction.account)).await?;
    let chain: Chain = link.get("/v1/chain").await?;
    if account.next_nonce <= transaction.nonce || chain.head.block.0 < started + KEPT_BLOCKS {
        return Ok(None);
    }
    Err(unknown(hash, link))
}

fn seen(link: &Link, block: BlockNumber) -> bool {
    link.seen().is_some_and(|head| head.block >= block)
}

/// Whether a failure shows that the chain did not take it.
fn never_arrived(error: &Error) -> bool {
    error.kind() == ErrorKind::Overloaded || error.code() == "chain_unreachable"
}

fn unknown(hash: TxHash, link: &Link) -> Error {
    Error::new(
        ErrorKind::Timeout,
        "outcome_unknown",
        format!(
            "the transaction {hash} was sent to {}, and it is not known what became of it",
            link.http().base()
        ),
    )
    .with_hint("ask for its receipt before doing the same again")
}
