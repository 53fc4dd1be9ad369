use std::collections::{HashMap, HashSet};
use std::io::BufRead;

use super::GgufProblem;
use super::cursor::Cursor;

/// The most key-value pairs that are read; real models have fewer than a hundred.
const MAX_PAIRS: u64 = 65_536;
/// The longest key, from the format's specification, in bytes.
const MAX_KEY: u64 = 65_535;
/// The longest single string (a chat template is some 10 kB), in bytes.
const MAX_STRING: u64 = 16 << 20;
/// The most bytes kept of all strings together.
const MAX_KEPT: u64 = 64 << 20;
/// The most elements of one array (vocabularies have up to some 300,000).
const MAX_ELEMENTS: u64 = 1 << 24;
/// The one array whose strings are looked at: llama.cpp aborts where a piece stands in it twice.
const VOCABULARY: &str = "tokenizer.ggml.tokens";

/// What type a metadata value, or an array's element, has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ValueKind {
    /// An integer of any width, signed or not.
    Integer,
    /// A 32-bit or 64-bit float.
    Float,
    /// True or false.
    Bool,
    /// A string.
    Text,
}

/// One metadata value. Of an array only its element's type and its length are kept: vocabularies are llama.cpp's business.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum MetadataValue {
    /// An integer of any width.
    Integer(i128),
    /// A float.
    Float(f64),
    /// True or false.
    Bool(bool),
    /// A string; invalid UTF-8 in it is replaced.
    Text(String),
    /// An array.
    Array {
        /// What its elements are.
        kind: ValueKind,
        /// How many elements it has.
        length: u64,
    },
}

/// The file's metadata by key.
pub(super) type Metadata = HashMap<String, MetadataValue>;

/// Reads all key-value pairs.
pub(super) fn read<R: BufRead>(cursor: &mut Cursor<R>, pairs: u64) -> Result<Metadata, GgufProblem> {
    let mut metadata = Metadata::new();
    let mut kept = 0;
    for index in 0..pairs {
        let key = cursor.string(&format!("metadata key {index}"), MAX_KEY)?;
        if key.is_empty() {
            return Err(GgufProblem::Malformed(format!("metadata key {index} is empty")));
        }
        let value = read_value(cursor, &key)?;
        kept += key.len() as u64;
        if let MetadataValue::Text(text) = &value {
            kept += text.len() as u64;
        }
        if kept > MAX_KEPT {
            return Err(GgufProblem::TooLarge {
                what: "bytes of metadata strings",
                count: kept,
                limit: MAX_KEPT,
            });
        }
        if let Some(_twice) = metadata.insert(key.clone(), value) {
            return Err(GgufProblem::Malformed(format!("metadata key {key} stands twice")));
        }
    }
    Ok(metadata)
}

/// The number of pairs, from the header.
pub(super) fn read_count<R: BufRead>(cursor: &mut Cursor<R>) -> Result<u64, GgufProblem> {
    cursor.count("metadata pairs", MAX_PAIRS)
}

fn read_value<R: BufRead>(cursor: &mut Cursor<R>, key: &str) -> Result<MetadataValue, GgufProblem> {
    let reading = format!("the value of metadata key {key}");
    let tag = Tag::read(cursor, &reading)?;
    match tag {
        Tag::Array => read_array(cursor, key, &reading),
        Tag::Text => {
            let bytes = cursor.bytes(&reading, MAX_STRING)?;
            Ok(MetadataValue::Text(String::from_utf8_lossy(&bytes).into_owned()))
        }
        Tag::Bool => Ok(MetadataValue::Bool(cursor.array::<1>(&reading)? != [0])),
        Tag::F32 => Ok(MetadataValue::Float(
            f32::from_le_bytes(cursor.array(&reading)?).into(),
        )),
        Tag::F64 => Ok(MetadataValue::Float(f64::from_le_bytes(cursor.array(&reading)?))),
        Tag::Int { bytes, signed } => {
            read_integer(cursor, bytes, signed, &reading).map(MetadataValue::Integer)
        }
    }
}

fn read_integer<R: BufRead>(
    cursor: &mut Cursor<R>,
    bytes: u64,
    signed: bool,
    reading: &str,
) -> Result<i128, GgufProblem> {
    Ok(match (bytes, signed) {
        (1, false) => u8::from_le_bytes(cursor.array(reading)?).into(),
        (1, true) => i8::from_le_bytes(cursor.array(reading)?).into(),
        (2, false) => u16::from_le_bytes(cursor.array(reading)?).into(),
        (2, true) => i16::from_le_bytes(cursor.array(reading)?).into(),
        (4, false) => u32::from_le_bytes(cursor.array(reading)?).into(),
        (4, true) => i32::from_le_bytes(cursor.array(reading)?).into(),
        (_, false) => u64::from_le_bytes(cursor.array(reading)?).into(),
        (_, true) => i64::from_le_bytes(cursor.array(reading)?).into(),
    })
}

fn read_array<R: BufRead>(
    cursor: &mut Cursor<R>,
    key: &str,
    reading: &str,
) -> Result<MetadataValue, GgufProblem> {
    let tag = Tag::read(cursor, reading)?;
    let length = cursor.count("elements of one metadata array", MAX_ELEMENTS)?;
    let kind = match tag {
        Tag::Array => return Err(GgufProblem::Malformed(format!("{reading} is an array of arrays"))),
        Tag::Text => {
            read_strings(cursor, key, length, reading)?;
            ValueKind::Text
        }
        Tag::Bool => skip_elements(cursor, length, 1, ValueKind::Bool, reading)?,
        Tag::F32 => skip_elements(cursor, length, 4, ValueKind::Float, reading)?,
        Tag::F64 => skip_elements(cursor, length, 8, ValueKind::Float, reading)?,
        Tag::Int { bytes, .. } => skip_elements(cursor, length, bytes, ValueKind::Integer, reading)?,
    };
    Ok(MetadataValue::Array { kind, length })
}

fn skip_elements<R: BufRead>(
    cursor: &mut Cursor<R>,
    length: u64,
    size: u64,
    kind: ValueKind,
    reading: &str,
) -> Result<ValueKind, GgufProblem> {
    cursor.skip(length.saturating_mul(size), reading)?;
    Ok(kind)
}

fn read_strings<R: BufRead>(
    cursor: &mut Cursor<R>,
    key: &str,
    length: u64,
    reading: &str,
) -> Result<(), GgufProblem> {
    // Each string has at least its eight bytes of length: a count the file can't hold is refused at once.
    cursor.expect_remaining(length.saturating_mul(8), reading)?;
    if key != VOCABULARY {
        for _ in 0..length {
            let bytes = cursor.u64(reading)?;
            cursor.skip(bytes, reading)?;
        }
        return Ok(());
    }
    let mut seen = HashSet::new();
    for index in 0..length {
        let mut piece = cursor.bytes(reading, MAX_KEY)?;
        // As llama.cpp sees them: cut at the first NUL, and the empty ones named by their number.
        piece.truncate(piece.iter().position(|&byte| byte == 0).unwrap_or(piece.len()));
        if piece.is_empty() {
            piece = format!("[EMPTY_{index}]").into_bytes();
        }
        if !seen.insert(piece) {
            return Err(GgufProblem::Malformed(format!(
                "token {index} of the vocabulary stands in it twice"
            )));
        }
    }
    Ok(())
}

/// A value's type as the format numbers them.
enum Tag {
    Int { bytes: u64, signed: bool },
    F32,
    F64,
    Bool,
    Text,
    Array,
}

impl Tag {
    fn read<R: BufRead>(cursor: &mut Cursor<R>, reading: &str) -> Result<Self, GgufProblem> {
        Ok(match cursor.u32(reading)? {
            0 => Self::Int {
                bytes: 1,
                signed: false,
            },
            1 => Self::Int {
                bytes: 1,
                signed: true,
            },
            2 => Self::Int {
                bytes: 2,
                signed: false,
            },
            3 => Self::Int {
                bytes: 2,
                signed: true,
            },
            4 => Self::Int {
                bytes: 4,
                signed: false,
            },
            5 => Self::Int {
                bytes: 4,
                signed: true,
            },
            6 => Self::F32,
            7 => Self::Bool,
            8 => Self::Text,
            9 => Self::Array,
            10 => Self::Int {
                bytes: 8,
                signed: false,
            },
            11 => Self::Int {
                bytes: 8,
                signed: true,
            },
            12 => Self::F64,
            unknown => {
                return Err(GgufProblem::Malformed(format!(
                    "{reading} has the unknown type {unknown}"
                )));
            }
        })
    }
}
