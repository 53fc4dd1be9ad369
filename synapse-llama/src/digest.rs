//! SHA-256, of files and of short texts.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use sha2::{Digest, Sha256};

/// How much of a file is read at once, in bytes.
const BLOCK: usize = 1 << 20;

/// The digest of a file's bytes, as `sha256:…`.
pub(crate) fn of_file(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut block = vec![0; BLOCK];
    let mut hasher = Sha256::new();
    loop {
        let read = file.read(&mut block)?;
        match block.get(..read) {
            None | Some([]) => return Ok(written(hasher)),
            Some(bytes) => hasher.update(bytes),
        }
    }
}

/// The digest of a text, as `sha256:…`.
pub(crate) fn of_text(text: &str) -> String {
    written(Sha256::new_with_prefix(text))
}

fn written(hasher: Sha256) -> String {
    let hex: String = hasher
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("sha256:{hex}")
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_digest_is_the_well_known_one() {
        let known = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(super::of_text("abc"), known);
    }
}
