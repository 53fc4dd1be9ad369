//! Numbers and names as bytes: the shortest form of each, and nothing that another form could say.

use synapse_core::{Precision, TokenCount};

/// Bytes of a name, at most.
pub(super) const LONGEST_NAME: usize = 256;
/// Bytes of a note, at most.
pub(super) const LONGEST_NOTE: usize = 1024;
/// Bytes of a number, at most.
pub(super) const LONGEST_NUMBER: usize = 10;

/// Why bytes are not what was encoded.
pub(super) type Malformed = &'static str;

#[derive(Debug, Default)]
pub(super) struct Encoder(pub(super) Vec<u8>);

#[derive(Debug)]
pub(super) struct Decoder<'a>(pub(super) &'a [u8]);

impl Encoder {
    pub(super) fn byte(&mut self, byte: u8) {
        self.0.push(byte);
    }

    /// Seven bits a byte, the lowest first; the eighth says that more follow.
    pub(super) fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push(number.to_le_bytes()[0] | 0x80);
            number >>= 7;
        }
        self.0.push(number.to_le_bytes()[0]);
    }

    pub(super) fn text(&mut self, text: &str) {
        self.number(text.len() as u64);
        self.0.extend_from_slice(text.as_bytes());
    }

    pub(super) fn tokens(&mut self, count: TokenCount) {
        self.number(count.tokens());
        self.byte((count.precision() == Precision::Approximate).into());
    }

    pub(super) fn maybe<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Self, T)) {
        self.byte(value.is_some().into());
        if let Some(value) = value {
            write(self, value);
        }
    }
}

impl<'a> Decoder<'a> {
    pub(super) fn byte(&mut self) -> Result<u8, Malformed> {
        let (first, rest) = self.0.split_first().ok_or("it ends early")?;
        self.0 = rest;
        Ok(*first)
    }

    pub(super) fn number(&mut self) -> Result<u64, Malformed> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if bits > u64::MAX >> shift {
                return Err("a number is too large");
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                let is_shortest = bits != 0 || shift == 0;
                return is_shortest
                    .then_some(number)
                    .ok_or("a number is longer than need be");
            }
        }
        Err("a number is too large")
    }

    pub(super) fn text(&mut self, longest: usize) -> Result<&'a str, Malformed> {
        let length = usize::try_from(self.number()?).map_err(|_| "a name is too long")?;
        if length > longest {
            return Err("a name is too long");
        }
        let (text, rest) = self.0.split_at_checked(length).ok_or("it ends early")?;
        self.0 = rest;
        std::str::from_utf8(text).map_err(|_| "a name is no text")
    }

    pub(super) fn name(&mut self) -> Result<&'a str, Malformed> {
        self.text(LONGEST_NAME)
    }

    pub(super) fn tokens(&mut self) -> Result<TokenCount, Malformed> {
        let tokens = self.number()?;
        Ok(if self.flag()? {
            TokenCount::approximate(tokens)
        } else {
            TokenCount::exact(tokens)
        })
    }

    pub(super) fn maybe<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, Malformed>,
    ) -> Result<Option<T>, Malformed> {
        if self.flag()? {
            read(self).map(Some)
        } else {
            Ok(None)
        }
    }

    pub(super) fn finish(self) -> Result<(), Malformed> {
        self.0.is_empty().then_some(()).ok_or("something follows its end")
    }

    fn flag(&mut self) -> Result<bool, Malformed> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err("a flag is neither set nor unset"),
        }
    }
}
