//! The files of a directory of keys, and whether they are still what they were.

use std::{
    collections::HashMap,
    fs::{self, File, Metadata},
    io::{self, ErrorKind as Io, Read as _, Seek as _},
    path::Path,
};

use serde::{Deserialize, Serialize};
use synapse_core::{DataDir, Error, KeyId};

use super::{info::ApiKeyInfo, refusal, secret::KeyDigest};

pub(super) const KEYS: &str = "keys.json";
const REVOKED: &str = "revoked";
/// What this version writes.
const FORMAT: u32 = 1;
/// The longest file, in bytes.
pub(super) const LONGEST: usize = 64 << 20;

/// All keys that ever were, and which of them were revoked.
#[derive(Debug, Default)]
pub(super) struct Keys {
    pub(super) records: Vec<Record>,
    pub(super) revoked: HashMap<KeyDigest, Revoked>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Record {
    pub(super) sha256: KeyDigest,
    pub(super) key: ApiKeyInfo,
}

#[derive(Debug, Clone)]
pub(super) struct Revoked {
    pub(super) id: KeyId,
    pub(super) at_ms: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    format: u32,
    keys: Vec<Record>,
}

impl Keys {
    /// Writes the records alone.
    ///
    /// # Errors
    /// `too_many_api_keys` where they take more than `most` bytes, and what [`DataDir::replace`] says.
    pub(super) fn write_records(&self, data: &DataDir, most: usize) -> Result<(), Error> {
        let document = Document {
            format: FORMAT,
            keys: self.records.clone(),
        };
        let mut text = serde_json::to_vec_pretty(&document).map_err(|error| {
            Error::internal("unserializable", "the API keys could not be written").with_source(error)
        })?;
        text.push(b'\n');
        if text.len() > most {
            return Err(refusal::too_many(data.path()));
        }
        data.replace(KEYS, &text)
    }

    /// Writes what was revoked alone.
    pub(super) fn write_revoked(&self, data: &DataDir) -> Result<(), Error> {
        let mut lines: Vec<String> = self
            .revoked
            .iter()
            .map(|(digest, Revoked { id, at_ms })| format!("{} {id} {at_ms}\n", digest.to_hex()))
            .collect();
        lines.sort_unstable();
        data.replace(REVOKED, lines.concat().as_bytes())
    }
}

/// What was read, and of which files.
#[derive(Debug)]
pub(super) struct Snapshot {
    keys: Seen,
    revoked: Option<Seen>,
}

/// A file that was read. It stays open: as long as it does, no other file has its number.
#[derive(Debug)]
struct Seen {
    open: File,
    was: Identity,
}

impl Snapshot {
    /// Opens the files as they are now.
    pub(super) fn open(directory: &Path) -> Result<Self, Error> {
        let keys = fs::metadata(directory)
            .and_then(|found| check_writers(directory, &found))
            .and_then(|()| Seen::open(&directory.join(KEYS)))
            .and_then(|seen| seen.ok_or_else(|| Io::NotFound.into()));
        let revoked = Seen::open(&directory.join(REVOKED));
        match (keys, revoked) {
            (Ok(keys), Ok(revoked)) => Ok(Self { keys, revoked }),
            (Err(error), _) | (_, Err(error)) => Err(refusal::unreadable(directory, &error)),
        }
    }

    /// Whether these are the files that are there now, as they were.
    pub(super) fn is_current(&self, directory: &Path) -> bool {
        let now = |name: &str| {
            fs::metadata(directory.join(name))
                .map(|found| Identity::of(&found))
                .ok()
        };
        now(KEYS).as_ref() == Some(&self.keys.was)
            && now(REVOKED).as_ref() == self.revoked.as_ref().map(|seen| &seen.was)
    }

    /// Reads them.
    pub(super) fn read(&self, directory: &Path) -> Result<Keys, Error> {
        let path = directory.join(KEYS);
        let bytes = self.keys.bytes(&path)?;
        let document: Document =
            serde_json::from_slice(&bytes).map_err(|error| refusal::malformed(&path, error))?;
        if document.format != FORMAT {
            let why = format!(
                "it has format {}, and this version reads {FORMAT}",
                document.format
            );
            return Err(refusal::malformed(&path, why));
        }
        let mut keys = Keys {
            records: document.keys,
            revoked: HashMap::new(),
        };
        if let Some(revoked) = &self.revoked {
            let path = directory.join(REVOKED);
            let bytes = revoked.bytes(&path)?;
            for (number, line) in String::from_utf8_lossy(&bytes).lines().enumerate() {
                let (digest, revoked) = revocation(line).ok_or_else(|| {
                    refusal::malformed(&path, format!("line {} is none of ours", number + 1))
                })?;
                keys.revoked.insert(digest, revoked);
            }
        }
        // Either file is enough to say so, and the other one then hears of it.
        for Record { sha256, key } in &mut keys.records {
            match (key.revoked_ms, keys.revoked.get(sha256)) {
                (Some(at_ms), None) => {
                    let id = key.id.clone();
                    keys.revoked.insert(*sha256, Revoked { id, at_ms });
                }
                (None, Some(revoked)) => key.revoked_ms = Some(revoked.at_ms),
                _ => {}
            }
        }
        Ok(keys)
    }
}

/// `SHA256 ID MILLISECONDS`.
fn revocation(line: &str) -> Option<(KeyDigest, Revoked)> {
    let mut words = line.split(' ');
    let digest = KeyDigest::from_hex(words.next()?)?;
    let id = words.next().filter(|id| !id.is_empty())?.into();
    let at_ms = words.next()?.parse().ok()?;
    words.next().is_none().then_some((digest, Revoked { id, at_ms }))
}

impl Seen {
    /// Nothing where there is none.
    fn open(path: &Path) -> io::Result<Option<Self>> {
        // Looked at first, since opening a pipe would wait for a writer.
        match fs::metadata(path) {
            Ok(found) if found.is_file() => {}
            Ok(_) => return Err(io::Error::other(format!("{} is no regular file", path.display()))),
            Err(error) if error.kind() == Io::NotFound => return Ok(None),
            Err(error) => return Err(error),
        }
        let open = File::open(path)?;
        let found = open.metadata()?;
        check_writers(path, &found)?;
        let was = Identity::of(&found);
        Ok(Some(Self { open, was }))
    }

    fn bytes(&self, path: &Path) -> Result<Vec<u8>, Error> {
        let mut bytes = Vec::new();
        let mut file = &self.open;
        let most = u64::try_from(LONGEST).expect("64 MiB are a number") + 1;
        file.rewind()
            .and_then(|()| file.take(most).read_to_end(&mut bytes))
            .map_err(|error| refusal::unreadable(path, &error))?;
        if bytes.len() > LONGEST {
            return Err(refusal::malformed(
                path,
                format!("it has more than {LONGEST} bytes"),
            ));
        }
        Ok(bytes)
    }
}

/// Whoever may write to a file, or put another in its place, may let himself in.
#[cfg(unix)]
fn check_writers(path: &Path, found: &Metadata) -> io::Result<()> {
    let mode = std::os::unix::fs::MetadataExt::mode(found) & 0o777;
    if mode & 0o022 == 0 {
        return Ok(());
    }
    let path = path.display();
    Err(io::Error::other(format!(
        "others than its owner may write to {path} (mode {mode:04o}); run: chmod go-w {path}"
    )))
}

#[cfg(not(unix))]
fn check_writers(_: &Path, _: &Metadata) -> io::Result<()> {
    Ok(())
}

/// Which file it is, and when it was last changed.
#[derive(Debug, PartialEq, Eq)]
struct Identity {
    length: u64,
    modified: Option<std::time::SystemTime>,
    #[cfg(unix)]
    number: (u64, u64),
    #[cfg(unix)]
    changed: (i64, i64),
}

impl Identity {
    fn of(found: &Metadata) -> Self {
        #[cfg(unix)]
        use std::os::unix::fs::MetadataExt as _;
        Self {
            length: found.len(),
            modified: found.modified().ok(),
            #[cfg(unix)]
            number: (found.dev(), found.ino()),
            #[cfg(unix)]
            changed: (found.ctime(), found.ctime_nsec()),
        }
    }
}
