//! What a model's weights are.

use std::{
    collections::HashMap,
    fs::{self, File},
    io::{self, Read as _},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::SystemTime,
};

use sha2::{Digest as _, Sha256};

/// How much of a file is read at once, in bytes.
const BLOCK: usize = 1 << 20;
/// How many files' digests are kept.
const KEPT: usize = 64;

/// A file as it was when it was read.
type State = (PathBuf, u64, Option<SystemTime>);

/// Replicas of one model share the reading of its file.
static DIGESTS: Mutex<Option<HashMap<State, String>>> = Mutex::new(None);

/// The digest of a file's bytes, as `sha256:…`. Blocks for as long as it takes to read the file, the first time.
pub(super) fn digest_of(path: &Path) -> io::Result<String> {
    // A pipe would be waited for as it is opened.
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is no file"));
    }
    let mut file = File::open(path)?;
    let about = file.metadata()?;
    let state = (path.to_owned(), about.len(), about.modified().ok());
    if let Some(known) = digests(|digests| digests.get(&state).cloned()) {
        return Ok(known);
    }
    let mut hasher = Sha256::new();
    let mut block = vec![0; BLOCK];
    loop {
        match file.read(&mut block)? {
            0 => break,
            read => hasher.update(&block[..read]),
        }
    }
    let digest = hasher.finalize();
    let digest = digest
        .iter()
        .fold("sha256:".to_owned(), |text, byte| format!("{text}{byte:02x}"));
    digests(|digests| {
        if digests.len() >= KEPT {
            digests.clear();
        }
        digests.insert(state, digest.clone());
    });
    Ok(digest)
}

fn digests<T>(with: impl FnOnce(&mut HashMap<State, String>) -> T) -> T {
    let mut digests = DIGESTS.lock().unwrap_or_else(PoisonError::into_inner);
    with(digests.get_or_insert_default())
}
