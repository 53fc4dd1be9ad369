//! Reads a segment from its first row to its last.

use super::{
    frame::{self, Found, SHORTEST_FRAME},
    record::Record,
};

/// How a segment ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// Its rows end here, and nothing follows.
    At(usize),
    /// What is here is no row.
    Bad { offset: usize, why: &'static str },
}

/// Reads rows from `offset` on until there are no more.
pub(super) fn rows(bytes: &[u8], base: u64, mut offset: usize, mut each: impl FnMut(u64, Record)) -> End {
    loop {
        match frame::at(bytes, base, offset) {
            Found::Row(record, length) => {
                each(base + offset as u64, record);
                offset += length;
            }
            Found::End => return End::At(offset),
            Found::Bad(why) => return End::Bad { offset, why },
        }
    }
}

/// Where rows go on after what is none at `offset`.
pub(super) fn after(bytes: &[u8], base: u64, offset: usize) -> Option<usize> {
    frame::next_row(bytes, base, offset + SHORTEST_FRAME)
}

/// Whether what is at `offset` was on the disk once: a row after it says so.
pub(super) fn was_durable(bytes: &[u8], base: u64, offset: usize) -> bool {
    let position = base + offset as u64;
    let mut was = false;
    let mut next = after(bytes, base, offset);
    while let Some(at) = next {
        let end = rows(bytes, base, at, |_, record| {
            was |= matches!(record, Record::Durable(durable) if durable > position);
        });
        if was {
            return true;
        }
        next = match end {
            End::At(_) => None,
            End::Bad { offset, .. } => after(bytes, base, offset),
        };
    }
    false
}
