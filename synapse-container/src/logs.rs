//! The end of a log, however long it is.

use std::collections::VecDeque;

/// The most that is kept, in bytes.
const MOST: usize = 16 << 10;

/// The last lines of what was added. It never holds more than 16 KiB and one piece.
#[derive(Debug)]
pub(crate) struct Last {
    lines: usize,
    bytes: VecDeque<u8>,
}

impl Last {
    pub(crate) fn new(lines: usize) -> Self {
        Self {
            lines,
            bytes: VecDeque::new(),
        }
    }

    pub(crate) fn add(&mut self, piece: &[u8]) {
        self.bytes.extend(piece);
        let surplus = self.bytes.len().saturating_sub(MOST);
        self.bytes.drain(..surplus);
    }

    /// The lines, without control characters.
    pub(crate) fn into_lines(self) -> Vec<String> {
        let bytes: Vec<u8> = self.bytes.into();
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<&str> = text.lines().collect();
        let first = lines.len().saturating_sub(self.lines);
        let plain = |c: char| if c.is_control() { ' ' } else { c };
        lines[first..]
            .iter()
            .map(|line| line.trim_end().chars().map(plain).collect())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_kept_and_no_more() {
        let mut last = Last::new(2);
        for line in ["one\n", "two\n", "thr", "ee\x1b[31m\r\n"] {
            last.add(line.as_bytes());
        }
        assert_eq!(last.into_lines(), ["two", "three [31m"]);

        let mut flood = Last::new(1000);
        for _ in 0..10 {
            flood.add(&[b'x'; 8 << 10]);
        }
        flood.add(b"\nthe end\n");
        let lines = flood.into_lines();
        assert_eq!(lines.last().map(String::as_str), Some("the end"));
        assert!(lines.iter().map(String::len).sum::<usize>() <= MOST);
    }
}
