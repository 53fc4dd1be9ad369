//! What all rows add up to where a segment begins: so that those before need not be read again.

use std::path::Path;

use synapse_core::{Error, Micros};

use super::{
    EntryId, Payer,
    book::Book,
    codec::{Decoder, Encoder, Malformed},
    disk, error,
    record::{opening, put_opening},
    stored::{filed, many, parse},
};

const MAGIC: &[u8; 8] = b"synbook\n";

/// What all rows before a position add up to. It begins a segment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Checkpoint {
    pub(super) number: u64,
    pub(super) position: u64,
    pub(super) book: Book,
}

/// # Errors
/// `ledger_corrupt`, `ledger_newer`, `ledger_disk`.
pub(super) fn read_checkpoint(path: &Path) -> Result<Option<Checkpoint>, Error> {
    let bytes = disk::read(path).map_err(|error| error::disk(path, "read", error))?;
    bytes
        .map(|bytes| parse(path, &bytes, MAGIC, Checkpoint::decode))
        .transpose()
}

/// Writes what [`Checkpoint::encode`] made.
pub(super) fn write_checkpoint(path: &Path, encoded: Vec<u8>) -> Result<(), Error> {
    let bytes = filed(MAGIC, encoded);
    disk::replace(path, &bytes).map_err(|error| error::disk(path, "written", error))
}

impl Checkpoint {
    pub(super) fn encode(number: u64, position: u64, book: &Book) -> Vec<u8> {
        let mut out = Encoder::default();
        for number in [number, position, book.last, book.charged.len() as u64] {
            out.number(number);
        }
        for (caller, charged) in &book.charged {
            out.text(caller.as_str());
            out.number(charged.0);
        }
        out.number(book.paid_in.len() as u64);
        for (caller, paid_in) in &book.paid_in {
            out.text(caller.as_str());
            out.number(paid_in.0);
        }
        out.number(book.payments.len() as u64);
        for (operation, (caller, amount)) in &book.payments {
            out.text(operation.as_str());
            out.text(caller.as_str());
            out.number(amount.0);
        }
        out.number(book.spent.len() as u64);
        for (payer, days) in &book.spent {
            let (kind, name) = match payer {
                Payer::Caller(caller) => (0, caller.as_str()),
                Payer::Key(key) => (1, key.as_str()),
            };
            out.byte(kind);
            out.text(name);
            out.number(days.len() as u64);
            for (day, spent) in days {
                out.number(*day);
                out.number(spent.0);
            }
        }
        out.number(book.open.len() as u64);
        for (entry, opening) in &book.open {
            out.number(entry.0);
            put_opening(&mut out, opening);
        }
        out.0
    }

    fn decode(from: &mut Decoder<'_>) -> Result<Self, Malformed> {
        let [number, position, last] = [from.number()?, from.number()?, from.number()?];
        let charged = many(from, |from| Ok((from.name()?.into(), Micros(from.number()?))))?;
        let paid_in = many(from, |from| Ok((from.name()?.into(), Micros(from.number()?))))?;
        let payments = many(from, |from| {
            let operation = from.name()?.into();
            Ok((operation, (from.name()?.into(), Micros(from.number()?))))
        })?;
        let spent = many(from, |from| {
            let payer = match from.byte()? {
                0 => Payer::Caller(from.name()?.into()),
                1 => Payer::Key(from.name()?.into()),
                _ => return Err("somebody of no known kind pays"),
            };
            let days = many(from, |from| Ok((from.number()?, Micros(from.number()?))))?;
            Ok((payer, days.into_iter().collect()))
        })?;
        let open = many(from, |from| Ok((EntryId(from.number()?), opening(from)?)))?;
        Ok(Self {
            number,
            position,
            book: Book {
                charged: charged.into_iter().collect(),
                paid_in: paid_in.into_iter().collect(),
                spent: spent.into_iter().collect(),
                payments: payments.into_iter().collect(),
                open: open.into_iter().collect(),
                last,
            },
        })
    }
}
