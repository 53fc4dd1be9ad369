//! Frames: the length of a row, a checksum over its place, its length and its bytes, and the bytes.

use super::{
    codec::{LONGEST_NAME, LONGEST_NOTE},
    record::Record,
};

/// Bytes before a row: its length and its checksum, four each, the lowest first.
pub(super) const HEAD: usize = 8;
/// Bytes of a row, at most.
pub(super) const LONGEST: usize = 8 * LONGEST_NAME + LONGEST_NOTE;
/// A frame with the least row.
pub(super) const SHORTEST_FRAME: usize = HEAD + 1;

/// A row as it is written at this position of the ledger.
pub(super) fn framed(position: u64, row: &[u8]) -> Vec<u8> {
    let length = u32::try_from(row.len()).expect("a row has at most `LONGEST` bytes");
    let mut frame = Vec::with_capacity(HEAD + row.len());
    frame.extend_from_slice(&length.to_le_bytes());
    frame.extend_from_slice(&checksum(position, length, row).to_le_bytes());
    frame.extend_from_slice(row);
    frame
}

/// The place is in it, so that what was written elsewhere, or in a file that had these bytes before, is no row here.
fn checksum(position: u64, length: u32, row: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&position.to_le_bytes());
    hasher.update(&length.to_le_bytes());
    hasher.update(row);
    hasher.finalize()
}

/// What is found at a place of a segment.
#[derive(Debug)]
pub(super) enum Found {
    /// A row, and the bytes that its frame takes.
    Row(Record, usize),
    /// Nothing but zeros from here on.
    End,
    /// Neither, and why.
    Bad(&'static str),
}

/// What is at `offset` of these bytes, which begin at position `base` of the ledger.
pub(super) fn at(bytes: &[u8], base: u64, offset: usize) -> Found {
    let rest = bytes.get(offset..).unwrap_or_default();
    let number = |at: usize| {
        let bytes = rest.get(at..at + 4)?;
        Some(u32::from_le_bytes(bytes.try_into().expect("four bytes")))
    };
    let (Some(length), Some(sum)) = (number(0), number(4)) else {
        return end_or("a row ends early", rest);
    };
    if length == 0 {
        return end_or("a row has no length", rest);
    }
    let whole = HEAD + length as usize;
    if length as usize > LONGEST {
        return Found::Bad("a row is longer than any");
    }
    let Some(row) = rest.get(HEAD..whole) else {
        return Found::Bad("a row ends early");
    };
    if checksum(base + offset as u64, length, row) != sum {
        return Found::Bad("a row does not have its checksum");
    }
    match Record::decode(row) {
        Ok(record) => Found::Row(record, whole),
        Err(why) => Found::Bad(why),
    }
}

/// The next place from `offset` on at which a row is.
pub(super) fn next_row(bytes: &[u8], base: u64, offset: usize) -> Option<usize> {
    let last = bytes.len().checked_sub(SHORTEST_FRAME)?;
    // A length of no more than two bytes, and not nothing: most places are passed by without a checksum.
    (offset..=last).find(|&at| {
        bytes[at + 2..at + 4] == [0, 0]
            && bytes[at..at + 2] != [0, 0]
            && matches!(self::at(bytes, base, at), Found::Row(..))
    })
}

fn end_or(why: &'static str, rest: &[u8]) -> Found {
    if rest.iter().all(|byte| *byte == 0) {
        Found::End
    } else {
        Found::Bad(why)
    }
}

/// Frames without meaning that fill so many bytes, which are at least [`SHORTEST_FRAME`].
pub(super) fn gap(mut position: u64, mut bytes: usize) -> Vec<u8> {
    let mut filled = Vec::with_capacity(bytes);
    while bytes > 0 {
        let mut frame = bytes.min(HEAD + LONGEST);
        // What is left is enough for another.
        if (1..SHORTEST_FRAME).contains(&(bytes - frame)) {
            frame -= SHORTEST_FRAME;
        }
        let mut row = Record::Gap.encode();
        row.resize(frame - HEAD, 0);
        filled.extend(framed(position, &row));
        position += frame as u64;
        bytes -= frame;
    }
    filled
}
