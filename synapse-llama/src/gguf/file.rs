use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind};
use std::path::Path;

use super::cursor::Cursor;
use super::metadata::{self, Metadata};
use super::{GgufError, GgufProblem, MetadataValue, TensorInfo, model_checks, tensor};

/// How tensors are aligned, in bytes, where the metadata doesn't say.
const DEFAULT_ALIGNMENT: u64 = 32;
/// The largest alignment that makes sense, in bytes.
const MAX_ALIGNMENT: u64 = 1 << 20;

/// What a GGUF file says of itself: metadata and tensors, not their numbers.
#[derive(Clone, Debug)]
pub struct Gguf {
    version: u32,
    length: u64,
    metadata: Metadata,
    tensors: Vec<TensorInfo>,
}

impl Gguf {
    /// Reads the file's header and checks that it is whole and that llama.cpp can be trusted with it.
    ///
    /// Only the header is read (some megabytes at most), not the weights. The file must not be changed or cut while a
    /// model loaded from it is in use: it stays mapped into memory.
    ///
    /// # Errors
    /// [`GgufError`], naming the file, what is wrong and what to do.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, GgufError> {
        let path = path.as_ref();
        read_file(path).map_err(|problem| GgufError::new(path, problem))
    }

    /// Reads a header from `source`, which has `length` bytes in all.
    ///
    /// # Errors
    /// [`GgufProblem`]; any bytes whatever give a value or an error, never a panic, and set aside memory in proportion
    /// to the bytes that are there.
    pub fn read(source: impl BufRead, length: u64) -> Result<Self, GgufProblem> {
        let mut cursor = Cursor::new(source, length);
        let version = read_magic_and_version(&mut cursor)?;
        let tensor_count = tensor::read_count(&mut cursor)?;
        let pair_count = metadata::read_count(&mut cursor)?;
        let metadata = metadata::read(&mut cursor, pair_count)?;
        let tensors = tensor::read(&mut cursor, tensor_count)?;
        let gguf = Self {
            version,
            length,
            metadata,
            tensors,
        };
        gguf.check_extent(cursor.offset())?;
        model_checks::check(&gguf)?;
        Ok(gguf)
    }

    /// The format's version: 2 or 3.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// The file's length in bytes.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// The metadata value under `key`.
    pub fn value(&self, key: &str) -> Option<&MetadataValue> {
        self.metadata.get(key)
    }

    /// The string under `key`.
    pub fn text(&self, key: &str) -> Option<&str> {
        match self.value(key)? {
            MetadataValue::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The integer under `key`.
    pub fn integer(&self, key: &str) -> Option<i128> {
        match self.value(key)? {
            MetadataValue::Integer(number) => Some(*number),
            _ => None,
        }
    }

    /// The model's architecture, such as `llama`.
    pub fn architecture(&self) -> &str {
        self.text("general.architecture").unwrap_or_default()
    }

    /// The integer that the architecture keeps under `name`: `architecture_integer("block_count")` reads `llama.block_count`.
    pub fn architecture_integer(&self, name: &str) -> Option<i128> {
        self.integer(&format!("{}.{name}", self.architecture()))
    }

    /// The model's name as its maker gave it.
    pub fn name(&self) -> Option<&str> {
        self.text("general.name")
    }

    /// The chat template, a Jinja source, where the file has one.
    pub fn chat_template(&self) -> Option<&str> {
        self.text("tokenizer.chat_template")
    }

    /// The tensors in the file's order.
    pub fn tensors(&self) -> &[TensorInfo] {
        &self.tensors
    }

    /// Every tensor must lie inside the file.
    fn check_extent(&self, header_end: u64) -> Result<(), GgufProblem> {
        let alignment = self.alignment()?;
        let data_start = header_end.next_multiple_of(alignment);
        for tensor in &self.tensors {
            if !tensor.offset().is_multiple_of(alignment) {
                return Err(GgufProblem::Malformed(format!(
                    "tensor {} is not aligned to {alignment} bytes",
                    tensor.name()
                )));
            }
            let end = data_start
                .saturating_add(tensor.offset())
                .saturating_add(tensor.bytes());
            if end > self.length {
                let reading = format!("tensor {}", tensor.name());
                return Err(GgufProblem::Truncated {
                    reading,
                    needed: end,
                    length: self.length,
                });
            }
        }
        Ok(())
    }

    fn alignment(&self) -> Result<u64, GgufProblem> {
        let Some(value) = self.value("general.alignment") else {
            return Ok(DEFAULT_ALIGNMENT);
        };
        let alignment = match value {
            MetadataValue::Integer(number) => u64::try_from(*number).ok(),
            _ => None,
        };
        alignment
            .filter(|alignment| alignment.is_power_of_two() && *alignment <= MAX_ALIGNMENT)
            .ok_or_else(|| {
                GgufProblem::Malformed("general.alignment is not a power of two of bytes".to_owned())
            })
    }
}

fn read_file(path: &Path) -> Result<Gguf, GgufProblem> {
    let about = std::fs::metadata(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => GgufProblem::Missing,
        _ => GgufProblem::Io(error),
    })?;
    if !about.is_file() {
        return Err(GgufProblem::NotAFile);
    }
    let file = File::open(path).map_err(GgufProblem::Io)?;
    Gguf::read(BufReader::with_capacity(1 << 16, file), about.len())
}

fn read_magic_and_version<R: BufRead>(cursor: &mut Cursor<R>) -> Result<u32, GgufProblem> {
    match cursor.length() {
        0 => return Err(GgufProblem::Empty),
        1..4 => return Err(GgufProblem::NotGguf { magic: Vec::new() }),
        _ => {}
    }
    let magic: [u8; 4] = cursor.array("the magic number")?;
    if magic != *b"GGUF" {
        return Err(GgufProblem::NotGguf {
            magic: magic.to_vec(),
        });
    }
    match cursor.u32("the version")? {
        version @ 2..=3 => Ok(version),
        version if version.swap_bytes() <= 3 && version != 0 => Err(GgufProblem::BigEndian),
        version => Err(GgufProblem::Version(version)),
    }
}
