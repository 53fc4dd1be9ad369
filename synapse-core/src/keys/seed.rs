//! A key's secret as 32 bytes.

use std::fmt;

use zeroize::Zeroizing;

use super::{Keypair, Scheme, hex};
use crate::Error;

/// Thirty-two bytes that are a key's secret: sr25519's mini secret, ed25519's and secp256k1's secret key. They are wiped
/// when it is dropped, and `Debug` shows none of them.
#[derive(Clone)]
pub struct Seed {
    bytes: Zeroizing<Vec<u8>>,
    digits: Zeroizing<String>,
}

impl Seed {
    /// Reads `0x` and 64 hex digits.
    ///
    /// # Errors
    /// `bad_seed`, which shows none of them.
    pub fn from_hex(text: &str) -> Result<Self, Error> {
        let mut bytes = Zeroizing::new(vec![0; 32]);
        text.strip_prefix("0x")
            .and_then(|digits| hex::decode_into(digits, &mut bytes))
            .ok_or_else(|| Error::invalid("bad_seed", "the seed is not 0x and 64 hex digits"))?;
        Ok(Self::of(bytes))
    }

    /// `0x` and 64 hex digits, for whoever keeps them. **Whoever sees them has the key.**
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.digits
    }

    /// The key of this seed.
    ///
    /// # Errors
    /// As [`Keypair::from_seed`].
    pub fn keypair(&self, scheme: Scheme) -> Result<Keypair, Error> {
        let seed = self.bytes.first_chunk().expect("a seed has 32 bytes");
        Keypair::from_seed(scheme, seed)
    }

    /// The seed of these bytes, or none where they are not 32.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        (bytes.len() == 32).then(|| Self::of(Zeroizing::new(bytes.to_vec())))
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn of(bytes: Zeroizing<Vec<u8>>) -> Self {
        let plain = Zeroizing::new(hex::encode(&bytes));
        let mut digits = Zeroizing::new(String::with_capacity(2 + plain.len()));
        digits.push_str("0x");
        digits.push_str(&plain);
        Self { bytes, digits }
    }
}

impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seed(…)")
    }
}
