//! The key itself, which its holder alone has, and what is kept of it.

use std::{
    fmt,
    hash::{Hash, Hasher},
};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use synapse_core::Error;
use zeroize::Zeroizing;

use crate::digest::hex;

/// What every key begins with, so that whoever finds one knows what it is.
const PREFIX: &str = "sk-syn-";
/// Random bytes of a key.
const RANDOM: usize = 32;

/// An API key: `sk-syn-` and 64 hex digits, which are 256 random bits. It is in no file and no log; once dropped it is
/// nowhere here.
pub struct ApiKeySecret(Zeroizing<String>);

impl ApiKeySecret {
    /// A new one.
    ///
    /// # Errors
    /// `no_randomness` where the system gives none.
    pub(super) fn generate() -> Result<Self, Error> {
        let mut random = Zeroizing::new([0; RANDOM]);
        getrandom::fill(&mut *random).map_err(|error| {
            Error::unavailable(
                "no_randomness",
                "an API key could not be made: the system gives no random bytes",
            )
            .with_source(error)
        })?;
        // As long as it gets, so that none is left where it was before the text grew.
        let mut text = Zeroizing::new(String::with_capacity(PREFIX.len() + 2 * RANDOM));
        text.push_str(PREFIX);
        text.push_str(&Zeroizing::new(hex(&*random)));
        Ok(Self(text))
    }

    /// The key in plain text, to be told to its holder.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    pub(super) fn digest(&self) -> KeyDigest {
        KeyDigest::of(&self.0)
    }
}

impl fmt::Debug for ApiKeySecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKeySecret(sk-syn-…)")
    }
}

/// Whether `text` is written as a key is.
pub(super) fn is_well_formed(text: &str) -> bool {
    let digit = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    text.strip_prefix(PREFIX)
        .is_some_and(|digits| digits.len() == 2 * RANDOM && digits.as_bytes().iter().all(digit))
}

/// A key's SHA-256, all that is kept of it. Two are compared in a time that says nothing of them.
#[derive(Clone, Copy)]
pub(super) struct KeyDigest([u8; 32]);

impl KeyDigest {
    pub(super) fn of(key: &str) -> Self {
        Self(Sha256::digest(key.as_bytes()).into())
    }

    /// Reads 64 hex digits.
    pub(super) fn from_hex(text: &str) -> Option<Self> {
        let nibble = |digit: u8| {
            char::from(digit)
                .to_digit(16)
                .and_then(|value| u8::try_from(value).ok())
        };
        let digits = text.as_bytes();
        let mut digest = [0; 32];
        if digits.len() != 2 * digest.len() {
            return None;
        }
        for (byte, pair) in digest.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
        }
        Some(Self(digest))
    }

    pub(super) fn to_hex(self) -> String {
        hex(&self.0)
    }
}

impl PartialEq for KeyDigest {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for KeyDigest {}

impl Hash for KeyDigest {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl fmt::Debug for KeyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyDigest(…)")
    }
}

impl Serialize for KeyDigest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.to_hex())
    }
}

impl<'de> Deserialize<'de> for KeyDigest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::from_hex(&text).ok_or_else(|| de::Error::custom("a SHA-256 is 64 hex digits"))
    }
}
