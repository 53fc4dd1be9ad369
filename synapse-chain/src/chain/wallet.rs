//! A handle's signer, and the nonces that it uses up.

use std::sync::Arc;

use synapse_core::{BlockNumber, Error, ErrorKind, keys::Signer};
use tokio::{
    sync::Mutex,
    time::{Instant, timeout_at},
};

use crate::{Call, Receipt, Transaction, backend::Backend};

/// For how many blocks a transaction of a handle is valid.
const VALID_FOR: u64 = 64;
/// How often another process with the same key may be ahead.
const MOST_ATTEMPTS: usize = 8;

/// Signs calls, one after another: each takes the account's next nonce.
#[derive(Debug)]
pub(super) struct Wallet {
    signer: Arc<dyn Signer>,
    turn: Mutex<()>,
}

impl Wallet {
    pub(super) fn new(signer: Arc<dyn Signer>) -> Self {
        Self {
            signer,
            turn: Mutex::new(()),
        }
    }

    pub(super) fn signer(&self) -> &dyn Signer {
        &*self.signer
    }

    /// Signs a call and waits for its receipt. Signs again only where the first can never take effect: another
    /// transaction used its nonce up, no block took it in its time, or the chain never had it.
    pub(super) async fn submit(&self, backend: &dyn Backend, call: Call) -> Result<Receipt, Error> {
        let until = backend.deadline();
        let _turn = in_time(until, async { Ok(self.turn.lock().await) }).await?;
        in_time(until, backend.ready()).await?;
        let mut transaction = Transaction {
            chain: backend.chain().clone(),
            account: self.signer.address().clone(),
            nonce: 0,
            valid_until: BlockNumber(0),
            salt: 0,
            call,
        };
        let mut attempts = 0;
        loop {
            let account = in_time(until, backend.account(&transaction.account)).await?;
            transaction.nonce = account.next_nonce;
            transaction.valid_until = BlockNumber(backend.head().current().block.0.saturating_add(VALID_FOR));
            transaction.salt = getrandom::u64().map_err(|error| {
                Error::internal("no_randomness", "the system gave no randomness for a transaction")
                    .with_source(error)
            })?;
            let signed = in_time(until, transaction.sign(&*self.signer)).await?;
            let hash = signed.hash();
            let refused = match backend.submit_until(signed, until).await {
                Err(error) if is_void(&error) => error,
                verdict => return verdict,
            };
            if let Some(receipt) = backend.receipt(&hash).await? {
                return Ok(receipt);
            }
            attempts += 1;
            if attempts == MOST_ATTEMPTS {
                return Err(refused.with_hint("another process signs with this key: let one of them do it"));
            }
        }
    }
}

/// What comes by then; a wait of which nothing was sent yet.
async fn in_time<T>(
    until: Option<Instant>,
    what: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let Some(until) = until else { return what.await };
    timeout_at(until, what).await.unwrap_or_else(|_| {
        Err(Error::new(
            ErrorKind::Timeout,
            "call_timeout",
            "the call was not sent in the time that calls have: the chain is away, or the signer's earlier calls took it",
        ))
    })
}

/// Whether a backend's refusal means that the transaction is in no block, and never will be.
fn is_void(refusal: &Error) -> bool {
    matches!(
        refusal.code(),
        "transaction_replayed" | "nonce_taken" | "nonce_gap" | "transaction_expired"
    )
}

pub(super) fn no_signer() -> Error {
    Error::new(
        ErrorKind::Unauthenticated,
        "no_signer",
        "a transfer is signed by whoever pays",
    )
    .with_hint("give the handle a signer: chain.with_signer(keys.coldkey())")
}
