//! Documents of a line each.

use memchr::memchr;

use super::{Cut, Step};

/// Finds the ends of lines. Blank ones are no documents.
#[derive(Debug)]
pub(super) struct Lines;

impl Lines {
    pub(super) fn step(&mut self, bytes: &[u8], line: usize) -> Step {
        match memchr(b'\n', bytes) {
            None => Step {
                taken: bytes.len(),
                text: bytes.len(),
                line_ended: false,
                cut: Cut::Not,
            },
            Some(found) => {
                let blank = line == 0 && matches!(&bytes[..found], b"" | b"\r");
                Step {
                    taken: found + 1,
                    text: found,
                    line_ended: true,
                    cut: if blank { Cut::Stray } else { Cut::Event },
                }
            }
        }
    }
}
