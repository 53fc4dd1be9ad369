//! Which transaction it is of which nobody knows what became.

use std::{error::Error as StdError, fmt};

use synapse_core::Error;

use crate::TxHash;

/// The transaction of which nobody knows what became: the [source](StdError::source) of every `outcome_unknown`.
///
/// ```no_run
/// use synapse_chain::{LocalChain, remote::UnknownOutcome};
/// # async fn pay(chain: LocalChain) -> Result<(), synapse_core::Error> {
/// if let Err(error) = chain.transfer(&"5Grw…".into(), synapse_core::Stake(5)).await {
///     let Some(unknown) = UnknownOutcome::of(&error) else {
///         return Err(error);
///     };
///     // Later, and before paying again:
///     let receipt = chain.receipt(&unknown.hash()).await?;
/// #   drop(receipt);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct UnknownOutcome {
    hash: TxHash,
    last: Option<Error>,
}

impl UnknownOutcome {
    pub(super) fn new(hash: TxHash, last: Option<Error>) -> Self {
        Self { hash, last }
    }

    /// The transaction that `error` is about, where that is an `outcome_unknown`.
    #[must_use]
    pub fn of(error: &Error) -> Option<&Self> {
        error.source()?.downcast_ref()
    }

    /// The transaction's hash.
    #[must_use]
    pub fn hash(&self) -> TxHash {
        self.hash
    }
}

impl fmt::Display for UnknownOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no answer told what became of the transaction {}", self.hash)
    }
}

impl StdError for UnknownOutcome {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.last.as_ref().map(|error| error as &(dyn StdError + 'static))
    }
}
