//! What is stored beside the rows: the totals of each segment that is over.

use std::{
    collections::HashMap,
    fs::File,
    io::{ErrorKind, Read as _},
    path::Path,
};

use synapse_core::{CallerId, Error, KeyId, NodeId};

use super::{
    codec::{Decoder, Encoder, Malformed},
    disk, error,
    record::{put_top_up, top_up},
    totals::{Group, Summary, Totals},
};

const HEAD_MAGIC: &[u8; 8] = b"synseal\n";
const TOTALS_MAGIC: &[u8; 8] = b"syntots\n";
const VERSION: u32 = 1;
/// Bytes before the body: magic, version, checksum.
const HEADER: usize = 16;
/// Bytes that say which segment's the totals are: always as many.
const HEAD: usize = HEADER + 48;

/// A segment that is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sealed {
    pub(super) number: u64,
    /// The position of its first byte, and the one after its last row.
    pub(super) base: u64,
    pub(super) end: u64,
    pub(super) rows: Rows,
    pub(super) summary: Summary,
}

/// Where the rows of a segment are that is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rows {
    /// In its file.
    Kept,
    /// Nowhere any more: they were too old.
    Folded,
    /// Nowhere: the file was gone, and an operator said to go on.
    Lost,
}

/// Whose sums are read; everybody's, where nothing is said.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Wanted<'a> {
    pub(super) caller: Option<&'a str>,
    pub(super) key: Option<&'a str>,
    pub(super) model: Option<&'a str>,
    pub(super) miner: Option<&'a str>,
}

/// Reads the totals of a segment, as far as they are wanted; `None` where there are none, and an error where they are not
/// what was written.
///
/// # Errors
/// `ledger_corrupt`, `ledger_newer`, `ledger_disk`.
pub(super) fn read_totals(path: &Path, wanted: &Wanted<'_>) -> Result<Option<Sealed>, Error> {
    let bytes = disk::read(path).map_err(|error| error::disk(path, "read", error))?;
    let Some(bytes) = bytes else { return Ok(None) };
    let (head, body) = bytes.split_at(bytes.len().min(HEAD));
    let mut sealed = parse(path, head, HEAD_MAGIC, Sealed::decode_head)?;
    sealed.summary = Summary {
        times: sealed.summary.times,
        ..parse(path, body, TOTALS_MAGIC, |from| decode_summary(from, wanted))?
    };
    Ok(Some(sealed))
}

/// The same without sums and top-ups: quick, however many there are.
///
/// # Errors
/// As [`read_totals`].
pub(super) fn read_head(path: &Path) -> Result<Option<Sealed>, Error> {
    let mut head = Vec::new();
    match File::open(path).and_then(|file| file.take(HEAD as u64).read_to_end(&mut head)) {
        Ok(_) => parse(path, &head, HEAD_MAGIC, Sealed::decode_head).map(Some),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error::disk(path, "read", error)),
    }
}

pub(super) fn write_totals(path: &Path, sealed: &Sealed) -> Result<(), Error> {
    let mut bytes = filed(HEAD_MAGIC, sealed.encode_head());
    bytes.extend(filed(TOTALS_MAGIC, sealed.summary.encode()));
    disk::replace(path, &bytes).map_err(|error| error::disk(path, "written", error))
}

pub(super) fn filed(magic: &[u8; 8], body: Vec<u8>) -> Vec<u8> {
    let mut bytes = magic.to_vec();
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&crc32fast::hash(&body).to_le_bytes());
    bytes.extend(body);
    bytes
}

/// # Errors
/// `ledger_corrupt`, `ledger_newer`.
pub(super) fn parse<T>(
    path: &Path,
    bytes: &[u8],
    magic: &[u8; 8],
    decode: impl FnOnce(&mut Decoder<'_>) -> Result<T, Malformed>,
) -> Result<T, Error> {
    let word = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    let (Some(version), Some(sum), true) = (word(8), word(12), bytes.starts_with(magic)) else {
        return Err(error::corrupt(path, 0, "it has no header"));
    };
    if version != VERSION {
        return Err(error::newer(path, version));
    }
    let body = &bytes[HEADER..];
    if crc32fast::hash(body) != sum {
        return Err(error::corrupt(
            path,
            HEADER as u64,
            "it does not have its checksum",
        ));
    }
    let mut from = Decoder(body);
    let malformed = |why| error::corrupt(path, HEADER as u64, why);
    let value = decode(&mut from).map_err(malformed)?;
    from.finish().map_err(malformed)?;
    Ok(value)
}

/// Names that many sums share, each written once.
#[derive(Default)]
struct Names<'a> {
    places: HashMap<&'a str, u64>,
    list: Vec<&'a str>,
}

impl<'a> Names<'a> {
    fn place(&mut self, name: &'a str) -> u64 {
        let next = self.list.len() as u64;
        *self.places.entry(name).or_insert_with(|| {
            self.list.push(name);
            next
        })
    }
}

impl Sealed {
    fn encode_head(&self) -> Vec<u8> {
        let rows = match self.rows {
            Rows::Kept => 0,
            Rows::Folded => 1,
            Rows::Lost => 2,
        };
        let has_times = self.summary.times.is_some();
        let (first, last) = self.summary.times.unwrap_or_default();
        let flags = rows | u64::from(has_times) << 8;
        let numbers = [self.number, self.base, self.end, flags, first, last];
        numbers.into_iter().flat_map(u64::to_le_bytes).collect()
    }

    fn decode_head(from: &mut Decoder<'_>) -> Result<Self, Malformed> {
        let mut number = || {
            let (number, rest) = from.0.split_first_chunk().ok_or("it ends early")?;
            from.0 = rest;
            Ok::<_, Malformed>(u64::from_le_bytes(*number))
        };
        let [segment, base, end, flags, first, last] =
            [number()?, number()?, number()?, number()?, number()?, number()?];
        let rows = match flags & 0xff {
            0 => Rows::Kept,
            1 => Rows::Folded,
            2 => Rows::Lost,
            _ => return Err("its rows are nowhere known"),
        };
        Ok(Self {
            number: segment,
            base,
            end,
            rows,
            summary: Summary {
                times: (flags >> 8 == 1).then_some((first, last)),
                ..Summary::default()
            },
        })
    }
}

impl Summary {
    fn encode(&self) -> Vec<u8> {
        let (mut names, mut sums) = (Names::default(), Encoder::default());
        for (group, totals) in &self.groups {
            sums.number(group.day);
            let of = [
                group.caller.as_ref().map(CallerId::as_str),
                group.key.as_ref().map(KeyId::as_str),
                Some(group.model.as_str()),
                group.miner.as_ref().map(NodeId::as_str),
            ];
            // Nothing is nobody.
            for name in of {
                sums.number(name.map_or(0, |name| names.place(name) + 1));
            }
            for number in totals.numbers() {
                sums.number(number);
            }
        }
        let mut out = Encoder::default();
        out.number(names.list.len() as u64);
        for name in names.list {
            out.text(name);
        }
        out.number(self.top_ups.len() as u64);
        for top_up in &self.top_ups {
            put_top_up(&mut out, top_up);
        }
        out.number(self.groups.len() as u64);
        out.0.extend(sums.0);
        out.0
    }
}

fn decode_summary(from: &mut Decoder<'_>, wanted: &Wanted<'_>) -> Result<Summary, Malformed> {
    let names = many(from, Decoder::name)?;
    let top_ups = many(from, top_up)?;
    // By number: most groups are passed by where few are wanted.
    let place = |wanted: &str| {
        names
            .iter()
            .position(|name| *name == wanted)
            .map_or(u64::MAX, |place| place as u64 + 1)
    };
    let wanted = [wanted.caller, wanted.key, wanted.model, wanted.miner].map(|wanted| wanted.map(place));
    let name = |place: u64| match place.checked_sub(1) {
        None => Ok(None),
        Some(place) => {
            let name = usize::try_from(place).ok().and_then(|place| names.get(place));
            name.copied().map(Some).ok_or("a name is missing")
        }
    };
    let mut groups = Vec::new();
    for _ in 0..from.number()? {
        let day = from.number()?;
        let of = [from.number()?, from.number()?, from.number()?, from.number()?];
        let mut totals = Totals::default();
        for number in totals.numbers_mut() {
            *number = from.number()?;
        }
        let is_wanted = |(wanted, of): (&Option<u64>, &u64)| wanted.is_none_or(|wanted| wanted == *of);
        if wanted.iter().zip(&of).all(is_wanted) {
            let [caller, key, model, miner] = of;
            let group = Group {
                day,
                caller: name(caller)?.map(Into::into),
                key: name(key)?.map(Into::into),
                model: name(model)?.ok_or("a name is missing")?.to_owned(),
                miner: name(miner)?.map(Into::into),
            };
            groups.push((group, totals));
        }
    }
    Ok(Summary {
        groups: groups.into_iter().collect(),
        top_ups,
        times: None,
    })
}

impl Totals {
    fn numbers(mut self) -> [u64; 6] {
        self.numbers_mut().map(|number| *number)
    }

    fn numbers_mut(&mut self) -> [&mut u64; 6] {
        [
            &mut self.requests,
            &mut self.complete,
            &mut self.interrupted,
            &mut self.prompt_tokens,
            &mut self.completion_tokens,
            &mut self.charge.0,
        ]
    }
}

/// So many, as is said first; each takes a byte at least.
pub(super) fn many<'a, T>(
    from: &mut Decoder<'a>,
    mut one: impl FnMut(&mut Decoder<'a>) -> Result<T, Malformed>,
) -> Result<Vec<T>, Malformed> {
    let count = usize::try_from(from.number()?).map_err(|_| "there are too many")?;
    if count > from.0.len() {
        return Err("there are too many");
    }
    (0..count).map(|_| one(from)).collect()
}
