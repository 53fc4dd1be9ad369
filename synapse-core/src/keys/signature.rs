//! What a key made of a message.

use std::fmt;

use crate::Error;

/// A signature's bytes: 64, or 65 where a recovery id follows.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Signature {
    bytes: [u8; Self::LONGEST],
    length: usize,
}

impl Signature {
    const LONGEST: usize = 65;

    /// A signature of these bytes.
    ///
    /// # Errors
    /// `malformed_signature` where they are neither 64 nor 65.
    pub fn new(signature: &[u8]) -> Result<Self, Error> {
        if !matches!(signature.len(), 64 | Self::LONGEST) {
            return Err(malformed(&format!(
                "has {} bytes, and 64 or 65 are wanted",
                signature.len()
            )));
        }
        let mut bytes = [0; Self::LONGEST];
        bytes[..signature.len()].copy_from_slice(signature);
        Ok(Self {
            bytes,
            length: signature.len(),
        })
    }

    /// Reads `0x` and hex digits.
    ///
    /// # Errors
    /// `malformed_signature`.
    pub fn from_hex(text: &str) -> Result<Self, Error> {
        let digits = text
            .strip_prefix("0x")
            .ok_or_else(|| malformed("does not begin with 0x"))?;
        if digits.len() > 2 * Self::LONGEST {
            return Err(malformed("is too long"));
        }
        let bytes = super::hex::decode(digits).ok_or_else(|| malformed("is not hex"))?;
        Self::new(&bytes)
    }

    /// `0x` and hex digits.
    #[must_use]
    pub fn to_hex(&self) -> String {
        format!("0x{}", super::hex::encode(self.as_bytes()))
    }

    /// Its bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signature({})", self.to_hex())
    }
}

fn malformed(why: &str) -> Error {
    Error::invalid("malformed_signature", format!("the signature {why}"))
}
