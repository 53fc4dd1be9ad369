//! Segments: files of rows, one after the other, each taken from the disk whole before the first row.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use synapse_core::Error;

use super::{disk, error};

/// Where the first row is.
pub(super) const FIRST_ROW: usize = 32;
/// Bytes before the first row.
pub(super) const HEADER: u64 = FIRST_ROW as u64;
/// The first position of a ledger.
pub(super) const FIRST: u64 = 0;

const MAGIC: &[u8; 8] = b"synledg\n";
const VERSION: u32 = 1;

/// The segment that rows go to.
#[derive(Debug, Clone)]
pub(super) struct Segment {
    pub(super) number: u64,
    /// The position of its first byte.
    pub(super) base: u64,
    /// Bytes that are taken from the disk.
    pub(super) capacity: u64,
    pub(super) path: PathBuf,
    pub(super) file: Arc<File>,
}

/// A file that will be a segment.
#[derive(Debug)]
pub(super) struct Spare {
    file: File,
    path: PathBuf,
    capacity: u64,
}

/// Where segments and their totals are.
pub(super) fn folder(directory: &Path) -> PathBuf {
    directory.join("segments")
}

pub(super) fn path(directory: &Path, number: u64) -> PathBuf {
    folder(directory).join(format!("{number:010}.rows"))
}

pub(super) fn totals_path(directory: &Path, number: u64) -> PathBuf {
    folder(directory).join(format!("{number:010}.totals"))
}

/// The files of one segment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Files {
    pub(super) rows: bool,
    pub(super) totals: bool,
}

/// Which segments there are.
pub(super) fn list(directory: &Path) -> Result<BTreeMap<u64, Files>, Error> {
    let folder = folder(directory);
    let unreadable = |error| error::disk(&folder, "read", error);
    let mut found = BTreeMap::<u64, Files>::new();
    for entry in fs::read_dir(&folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let number = path.file_stem().and_then(|stem| stem.to_str()?.parse().ok());
        let (Some(number), Some(ending)) = (number, path.extension()) else {
            continue;
        };
        match ending.to_str() {
            Some("rows") => found.entry(number).or_default().rows = true,
            Some("totals") => found.entry(number).or_default().totals = true,
            _ => {}
        }
    }
    Ok(found)
}

/// Takes room for a segment to come, in a file of this name, which one thread uses.
pub(super) fn spare(directory: &Path, name: &str, capacity: u64) -> io::Result<Spare> {
    let path = folder(directory).join(name).with_extension("spare");
    let file = disk::create(&path)?;
    if let Err(error) = disk::reserve(&file, capacity) {
        let _ = fs::remove_file(&path);
        return Err(error);
    }
    Ok(Spare { file, path, capacity })
}

impl Spare {
    /// Makes it the segment of this number, which begins at this position. Once this returns it is there after a power cut.
    pub(super) fn begin(self, directory: &Path, number: u64, base: u64) -> io::Result<Segment> {
        let place = path(directory, number);
        disk::append(&self.file, &self.path, 0, &header(number, base))?;
        disk::sync(&self.file, &self.path)?;
        fs::rename(&self.path, &place)?;
        disk::sync_folder(&folder(directory))?;
        Ok(Segment {
            number,
            base,
            capacity: self.capacity,
            path: place,
            file: Arc::new(self.file),
        })
    }
}

pub(super) fn header(number: u64, base: u64) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&number.to_le_bytes());
    bytes.extend_from_slice(&base.to_le_bytes());
    let sum = crc32fast::hash(&bytes);
    bytes.extend_from_slice(&sum.to_le_bytes());
    bytes
}

/// The position at which a segment begins, as its header says.
///
/// # Errors
/// `ledger_corrupt`, `ledger_newer`.
pub(super) fn base(path: &Path, number: u64, bytes: &[u8]) -> Result<u64, Error> {
    match read_header(path, bytes)? {
        (said, base) if said == number => Ok(base),
        _ => Err(error::corrupt(path, 0, "its header is of another segment")),
    }
}

/// The same, whichever segment it is.
pub(super) fn base_of_any(path: &Path, bytes: &[u8]) -> Result<u64, Error> {
    read_header(path, bytes).map(|(_, base)| base)
}

fn read_header(path: &Path, bytes: &[u8]) -> Result<(u64, u64), Error> {
    let long = |at: usize| Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
    let word = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    let (Some(version), Some(number), Some(base), Some(sum)) = (word(8), long(12), long(20), word(28)) else {
        return Err(error::corrupt(path, 0, "it has no header"));
    };
    if !bytes.starts_with(MAGIC) || crc32fast::hash(&bytes[..28]) != sum {
        return Err(error::corrupt(path, 0, "its header does not have its checksum"));
    }
    if version != VERSION {
        return Err(error::newer(path, version));
    }
    // Positions are sums of this and of places in a file.
    if base > u64::MAX / 2 {
        return Err(error::corrupt(path, 0, "no ledger is as long"));
    }
    Ok((number, base))
}
