//! A key in memory.

use std::fmt;

use async_trait::async_trait;
use ed25519_dalek::Signer as _;
use zeroize::Zeroizing;

use super::{
    Scheme, Signature, Signer, address,
    derive::{self, Seed},
    hardening::wiped,
    verify::{SR25519_CONTEXT, eip191, evm_of},
};
use crate::{Error, NodeId};

/// A key in memory. Its secret is wiped when it is dropped, and `Debug` shows its address alone.
pub struct Keypair {
    address: NodeId,
    secret: Secret,
}

/// Each kind wipes itself.
enum Secret {
    Sr25519(Box<schnorrkel::Keypair>),
    Ed25519(Box<ed25519_dalek::SigningKey>),
    Secp256k1(Box<k256::ecdsa::SigningKey>),
}

impl Keypair {
    /// A new key of the system's randomness.
    ///
    /// # Errors
    /// `no_randomness` where the system has none.
    pub fn generate(scheme: Scheme) -> Result<Self, Error> {
        let mut seed = Zeroizing::new([0; 32]);
        super::fill_random(seed.as_mut())?;
        Self::from_seed(scheme, &seed)
    }

    /// The key of a 32-byte seed: sr25519's mini secret, ed25519's and secp256k1's secret key.
    ///
    /// # Errors
    /// `bad_seed` where it is no secret of secp256k1 (zero, or not below the group's order).
    pub fn from_seed(scheme: Scheme, seed: &[u8; 32]) -> Result<Self, Error> {
        wiped(|| Self::of_seed(scheme, seed))
    }

    /// A development key: `//Alice`, `//Bob//stash`, `//Alice/soft` of Substrate's well-known phrase. **Everybody knows
    /// its secret.**
    ///
    /// # Errors
    /// `bad_uri` where it is no path, or has a soft step that the scheme does not know; `unsupported_scheme` for
    /// secp256k1.
    pub fn from_uri(scheme: Scheme, uri: &str) -> Result<Self, Error> {
        match derive::from_uri(scheme, uri)? {
            Seed::Sr25519(pair) => Ok(Self::sr25519(*pair)),
            Seed::Bytes(seed) => Self::from_seed(scheme, &seed),
        }
    }

    fn of_seed(scheme: Scheme, seed: &[u8; 32]) -> Result<Self, Error> {
        Ok(match scheme {
            Scheme::Sr25519 => Self::sr25519(derive::mini_secret(seed).expand_to_keypair(derive::EXPANSION)),
            Scheme::Ed25519 => {
                let secret = ed25519_dalek::SigningKey::from_bytes(seed);
                Self {
                    address: address::ss58(secret.verifying_key().as_bytes()),
                    secret: Secret::Ed25519(Box::new(secret)),
                }
            }
            Scheme::Secp256k1 => {
                let secret = k256::ecdsa::SigningKey::from_slice(seed)
                    .map_err(|_| Error::invalid("bad_seed", "the seed is no secret key of secp256k1"))?;
                Self {
                    address: evm_of(secret.verifying_key()),
                    secret: Secret::Secp256k1(Box::new(secret)),
                }
            }
        })
    }

    fn sr25519(pair: schnorrkel::Keypair) -> Self {
        Self {
            address: address::ss58(&pair.public.to_bytes()),
            secret: Secret::Sr25519(Box::new(pair)),
        }
    }

    /// Signs `message` here and now.
    #[must_use]
    pub fn sign_now(&self, message: &[u8]) -> Signature {
        let signature = match &self.secret {
            Secret::Sr25519(pair) => Signature::new(&pair.sign_simple(SR25519_CONTEXT, message).to_bytes()),
            Secret::Ed25519(secret) => Signature::new(&secret.sign(message).to_bytes()),
            Secret::Secp256k1(secret) => {
                let (rs, recovery) = secret.sign_prehash_recoverable(&eip191(message));
                let mut bytes = [0; 65];
                bytes[..64].copy_from_slice(&rs.to_bytes());
                bytes[64] = recovery.to_byte();
                Signature::new(&bytes)
            }
        };
        signature.expect("signatures have 64 or 65 bytes")
    }
}

#[async_trait]
impl Signer for Keypair {
    fn address(&self) -> &NodeId {
        &self.address
    }

    fn scheme(&self) -> Scheme {
        match self.secret {
            Secret::Sr25519(_) => Scheme::Sr25519,
            Secret::Ed25519(_) => Scheme::Ed25519,
            Secret::Secp256k1(_) => Scheme::Secp256k1,
        }
    }

    async fn sign(&self, message: &[u8]) -> Result<Signature, Error> {
        Ok(self.sign_now(message))
    }
}

impl fmt::Debug for Keypair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keypair")
            .field("address", &self.address)
            .field("scheme", &self.scheme())
            .finish_non_exhaustive()
    }
}
