use std::io::{BufRead, ErrorKind};

use super::GgufProblem;

/// Reads little-endian values from the front of a file and never past its announced length.
#[derive(Debug)]
pub(super) struct Cursor<R> {
    source: R,
    offset: u64,
    length: u64,
}

impl<R: BufRead> Cursor<R> {
    /// Starts at the first byte of `source`, which has `length` bytes.
    pub(super) fn new(source: R, length: u64) -> Self {
        Self {
            source,
            offset: 0,
            length,
        }
    }

    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// Refuses a piece of `bytes` bytes that the file is too short for, before any memory is set aside for it.
    pub(super) fn expect_remaining(&self, bytes: u64, reading: &str) -> Result<(), GgufProblem> {
        let needed = self.offset.saturating_add(bytes);
        if needed > self.length {
            return Err(GgufProblem::Truncated {
                reading: reading.to_owned(),
                needed,
                length: self.length,
            });
        }
        Ok(())
    }

    pub(super) fn array<const N: usize>(&mut self, reading: &str) -> Result<[u8; N], GgufProblem> {
        let mut bytes = [0; N];
        self.expect_remaining(N as u64, reading)?;
        self.fill(&mut bytes, reading)?;
        Ok(bytes)
    }

    pub(super) fn u32(&mut self, reading: &str) -> Result<u32, GgufProblem> {
        self.array(reading).map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self, reading: &str) -> Result<u64, GgufProblem> {
        self.array(reading).map(u64::from_le_bytes)
    }

    /// A count of `what`, refused above `limit`.
    pub(super) fn count(&mut self, what: &'static str, limit: u64) -> Result<u64, GgufProblem> {
        let count = self.u64(what)?;
        if count > limit {
            return Err(GgufProblem::TooLarge { what, count, limit });
        }
        Ok(count)
    }

    /// A length-prefixed run of bytes of at most `limit` bytes.
    pub(super) fn bytes(&mut self, reading: &str, limit: u64) -> Result<Vec<u8>, GgufProblem> {
        let length = self.u64(reading)?;
        self.expect_remaining(length, reading)?;
        let size = usize::try_from(length).ok().filter(|_| length <= limit);
        let Some(size) = size else {
            return Err(GgufProblem::Malformed(format!(
                "{reading} is {length} bytes long, more than {limit}"
            )));
        };
        let mut bytes = vec![0; size];
        self.fill(&mut bytes, reading)?;
        Ok(bytes)
    }

    /// A length-prefixed UTF-8 string of at most `limit` bytes.
    pub(super) fn string(&mut self, reading: &str, limit: u64) -> Result<String, GgufProblem> {
        String::from_utf8(self.bytes(reading, limit)?)
            .map_err(|_| GgufProblem::Malformed(format!("{reading} is not UTF-8")))
    }

    /// Passes over `bytes` bytes.
    pub(super) fn skip(&mut self, bytes: u64, reading: &str) -> Result<(), GgufProblem> {
        self.expect_remaining(bytes, reading)?;
        let mut left = bytes;
        while left > 0 {
            let buffered = self.source.fill_buf().map_err(GgufProblem::Io)?.len();
            if buffered == 0 {
                return Err(self.shrunk(bytes, reading));
            }
            let step = usize::try_from(left).map_or(buffered, |left| left.min(buffered));
            self.source.consume(step);
            left -= step as u64;
        }
        self.offset += bytes;
        Ok(())
    }

    fn fill(&mut self, into: &mut [u8], reading: &str) -> Result<(), GgufProblem> {
        let wanted = into.len() as u64;
        self.source.read_exact(into).map_err(|error| match error.kind() {
            ErrorKind::UnexpectedEof => self.shrunk(wanted, reading),
            _ => GgufProblem::Io(error),
        })?;
        self.offset += wanted;
        Ok(())
    }

    /// The source ended before the length that it was announced with.
    fn shrunk(&self, wanted: u64, reading: &str) -> GgufProblem {
        let needed = self.offset.saturating_add(wanted);
        GgufProblem::Truncated {
            reading: reading.to_owned(),
            needed,
            length: self.offset,
        }
    }
}
