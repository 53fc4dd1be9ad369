//! Clocks that jump.

use std::{fs, path::Path};

/// What writes dates down, or sells by them; what the clock's jumps do there has tests of its own.
const DATED: [&str; 4] = ["billing", "ledger", "rate_limit", "transcript"];

/// What jumps must not matter: epochs come from the chain, and intervals from tokio's clock, which does not. The loop reads no
/// clock of the wall at all. Signed times do, beyond this crate: that they outlive jumps is what the tests of `SignedHttp` and
/// `Verifier` show (`a_clock_that_was_set_back_lets_nothing_in_again`, `a_nonce_is_used_once_even_on_a_clock_that_stands_or_goes_back`).
#[test]
fn nothing_here_reads_a_clock_that_can_jump() {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders = vec![sources];
    let mut files = 0;
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                if !DATED.iter().any(|name| path.ends_with(name)) {
                    folders.push(path);
                }
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            for clock in ["SystemTime", "WallClock", "SystemClock"] {
                assert!(!text.contains(clock), "{} names {clock}", path.display());
            }
            files += 1;
        }
    }
    assert!(files > 50, "only {files} files were read");
}
