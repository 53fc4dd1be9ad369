//! A transaction with its signature.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use synapse_core::{
    Error, ErrorKind,
    keys::{Scheme, Signature, Signer, verify},
};

use super::{Transaction, names};

/// What stands before the body where it is signed, so that no other signature passes for one of a transaction.
const DOMAIN: &str = "synapse-tx/1\n";

/// A transaction as its account signed it.
///
/// The signature is over `synapse-tx/1`, a line feed, and the body's bytes as they are: nobody has to write the same
/// JSON twice. It has neither white space nor escapes: nobody needs them, and blocks have no room to waste.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedTransaction {
    body: String,
    scheme: Scheme,
    signature: String,
}

impl SignedTransaction {
    /// The largest body, in bytes: the weights of 4,096 miners fit.
    pub const MAX_BODY: usize = 320 * 1024;

    pub(super) async fn sign(transaction: &Transaction, signer: &dyn Signer) -> Result<Self, Error> {
        if transaction.account != *signer.address() {
            return Err(Error::invalid(
                "not_the_signer",
                format!(
                    "the transaction is of {}, and the signer is {}",
                    transaction.account,
                    signer.address()
                ),
            ));
        }
        let body = serde_json::to_string(transaction).map_err(|error| {
            Error::internal("transaction_not_written", "the transaction has no JSON form").with_source(error)
        })?;
        check_form(&body)?;
        let signature = signer.sign(&signed_text(&body)).await?;
        Ok(Self {
            body,
            scheme: signer.scheme(),
            signature: signature.to_hex(),
        })
    }

    /// The transaction, where its account signed it, and whoever consents in it consented.
    ///
    /// # Errors
    /// `transaction_too_large`, `malformed_transaction`, `malformed_address`, `bad_name`, `malformed_signature`,
    /// `bad_signature`, `bad_consent`.
    pub fn verify(&self) -> Result<Transaction, Error> {
        let transaction = self.read()?;
        self.check(&transaction)?;
        Ok(transaction)
    }

    /// Whether this is what its account signed, in names that may stand in a signed call.
    pub(crate) fn check(&self, transaction: &Transaction) -> Result<(), Error> {
        names::check_signed(&transaction.call)?;
        let signature = Signature::from_hex(&self.signature)?;
        verify(
            self.scheme,
            &transaction.account,
            &signed_text(&self.body),
            &signature,
        )?;
        transaction.check_consent()
    }

    /// The transaction, whoever signed it: for those that were verified when they were taken.
    pub(crate) fn read(&self) -> Result<Transaction, Error> {
        check_form(&self.body)?;
        serde_json::from_str(&self.body).map_err(|error| {
            Error::invalid(
                "malformed_transaction",
                format!("the body is no transaction: {error}"),
            )
        })
    }

    /// The bytes of the body.
    pub(crate) fn size(&self) -> usize {
        self.body.len()
    }

    /// Its name: the digest of its body.
    #[must_use]
    pub fn hash(&self) -> TxHash {
        TxHash(Sha256::digest(self.body.as_bytes()).into())
    }

    /// The JSON that was signed.
    #[must_use]
    pub fn body(&self) -> &str {
        &self.body
    }
}

fn signed_text(body: &str) -> Vec<u8> {
    [DOMAIN.as_bytes(), body.as_bytes()].concat()
}

fn check_form(body: &str) -> Result<(), Error> {
    if body.len() > SignedTransaction::MAX_BODY {
        return Err(Error::new(
            ErrorKind::TooLarge,
            "transaction_too_large",
            format!(
                "the transaction has {} bytes, and {} are taken",
                body.len(),
                SignedTransaction::MAX_BODY
            ),
        ));
    }
    if body
        .bytes()
        .any(|byte| byte.is_ascii_whitespace() || byte == b'\\')
    {
        return Err(Error::invalid(
            "malformed_transaction",
            "the body has white space or an escape, and needs none",
        ));
    }
    Ok(())
}

/// The SHA-256 of a transaction's body: 64 hex digits where it is written.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TxHash([u8; 32]);

impl TxHash {
    pub(crate) fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }
}

impl fmt::Display for TxHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for TxHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TxHash({self})")
    }
}

impl From<TxHash> for String {
    fn from(hash: TxHash) -> Self {
        hash.to_string()
    }
}

impl std::str::FromStr for TxHash {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let fault = || Error::invalid("malformed_hash", "a transaction's hash has 64 hex digits");
        if text.len() != 64 || !text.is_ascii() {
            return Err(fault());
        }
        let mut hash = [0; 32];
        for (byte, digits) in hash.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let digits = std::str::from_utf8(digits).map_err(|_| fault())?;
            *byte = u8::from_str_radix(digits, 16).map_err(|_| fault())?;
        }
        Ok(Self(hash))
    }
}

impl TryFrom<String> for TxHash {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}
