//! How a key signs.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::Error;

/// How a key signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Scheme {
    /// Schnorr over Ristretto, with the signing context `substrate`: what Substrate's chains and Bittensor use.
    Sr25519,
    /// EdDSA over Curve25519 (RFC 8032).
    Ed25519,
    /// ECDSA over secp256k1 with a recovery id, over the message as EIP-191 prefixes it: what EVM wallets use.
    Secp256k1,
}

impl Scheme {
    /// Its name: `sr25519`, `ed25519`, `secp256k1`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sr25519 => "sr25519",
            Self::Ed25519 => "ed25519",
            Self::Secp256k1 => "secp256k1",
        }
    }

    /// How long its signatures are, in bytes: 64, of secp256k1 65.
    #[must_use]
    pub const fn signature_len(self) -> usize {
        match self {
            Self::Sr25519 | Self::Ed25519 => 64,
            Self::Secp256k1 => 65,
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Scheme {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        [Self::Sr25519, Self::Ed25519, Self::Secp256k1]
            .into_iter()
            .find(|scheme| scheme.as_str() == name)
            .ok_or_else(|| {
                let shown: String = name.chars().take(32).collect();
                Error::invalid("unknown_scheme", format!("{shown:?} is no signature scheme"))
                    .with_hint("use sr25519, ed25519 or secp256k1")
            })
    }
}
