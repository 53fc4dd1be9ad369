//! What a key is made of again.

use zeroize::Zeroizing;

use super::{Keypair, Mnemonic, Scheme, Seed, WordCount};
use crate::Error;

/// What a key is made of again: its words, or its seed where it never had any.
#[derive(Debug)]
#[non_exhaustive]
pub enum SecretText {
    /// A BIP-39 phrase.
    Mnemonic(Mnemonic),
    /// Thirty-two bytes.
    Seed(Seed),
}

impl SecretText {
    /// Reads a seed where the text begins with `0x`, else a phrase.
    ///
    /// # Errors
    /// As [`Seed::from_hex`] and [`Mnemonic::parse`].
    pub fn parse(text: &str) -> Result<Self, Error> {
        let text = text.trim();
        if text.starts_with("0x") {
            Seed::from_hex(text).map(Self::Seed)
        } else {
            Mnemonic::parse(text).map(Self::Mnemonic)
        }
    }

    /// The text. **Whoever sees it has the key.**
    #[must_use]
    pub fn reveal(&self) -> &str {
        match self {
            Self::Mnemonic(mnemonic) => mnemonic.reveal(),
            Self::Seed(seed) => seed.reveal(),
        }
    }

    /// Its key.
    ///
    /// # Errors
    /// As [`Keypair::from_seed`].
    pub fn keypair(&self, scheme: Scheme) -> Result<Keypair, Error> {
        match self {
            Self::Mnemonic(mnemonic) => mnemonic.keypair(scheme),
            Self::Seed(seed) => seed.keypair(scheme),
        }
    }

    /// How many words a key that takes this one's place has: no fewer bits.
    pub(super) fn word_count(&self) -> WordCount {
        match self {
            Self::Mnemonic(mnemonic) if mnemonic.entropy().len() <= 16 => WordCount::Twelve,
            Self::Mnemonic(_) | Self::Seed(_) => WordCount::TwentyFour,
        }
    }

    /// A byte for its kind, and the phrase's entropy or the seed; with room for a cipher's tag.
    pub(super) fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let (kind, secret) = match self {
            Self::Mnemonic(mnemonic) => (1, mnemonic.entropy()),
            Self::Seed(seed) => (2, seed.as_bytes()),
        };
        let mut bytes = Zeroizing::new(Vec::with_capacity(64));
        bytes.push(kind);
        bytes.extend_from_slice(secret);
        bytes
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        match bytes.split_first()? {
            (1, entropy) => Mnemonic::from_entropy(entropy).map(Self::Mnemonic),
            (2, seed) => Seed::from_bytes(seed).map(Self::Seed),
            _ => None,
        }
    }
}

impl From<Mnemonic> for SecretText {
    fn from(mnemonic: Mnemonic) -> Self {
        Self::Mnemonic(mnemonic)
    }
}

impl From<Seed> for SecretText {
    fn from(seed: Seed) -> Self {
        Self::Seed(seed)
    }
}
