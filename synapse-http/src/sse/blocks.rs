//! Blocks of lines that end at a blank one.

use memchr::memchr2;

use super::{Cut, Step};

/// Finds the ends of blocks. Lines end with LF, CRLF or CR.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    /// Whether the block has a line already.
    has_line: bool,
    /// The line's end was a CR: an LF that follows still belongs to it.
    after_cr: Option<Line>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line {
    Text,
    Blank,
    /// Blank, before any line of a block.
    Stray,
}

impl From<Line> for Cut {
    fn from(line: Line) -> Self {
        match line {
            Line::Text => Self::Not,
            Line::Blank => Self::Event,
            Line::Stray => Self::Stray,
        }
    }
}

impl Blocks {
    /// Goes on to the next line's end, or to the end of `bytes`; the line under way has `line` bytes so far.
    pub(super) fn step(&mut self, bytes: &[u8], line: usize) -> Step {
        let (Some(first), ended) = (bytes.first(), self.after_cr) else {
            return Step::only(0, 0);
        };
        if let Some(ended) = ended {
            self.after_cr = None;
            return Step {
                taken: usize::from(*first == b'\n'),
                text: 0,
                line_ended: true,
                cut: self.end_of(ended),
            };
        }
        let Some(found) = memchr2(b'\n', b'\r', bytes) else {
            return Step::only(bytes.len(), bytes.len());
        };
        let ended = match (line + found, self.has_line) {
            (0, false) => Line::Stray,
            (0, true) => Line::Blank,
            _ => Line::Text,
        };
        if bytes[found] == b'\r' {
            self.after_cr = Some(ended);
            return Step::only(found + 1, found);
        }
        Step {
            taken: found + 1,
            text: found,
            line_ended: true,
            cut: self.end_of(ended),
        }
    }

    /// What the end of the stream makes of a CR that waited for its LF.
    pub(super) fn at_end(&self) -> Cut {
        self.after_cr.map_or(Cut::Not, Cut::from)
    }

    fn end_of(&mut self, line: Line) -> Cut {
        self.has_line = line == Line::Text;
        line.into()
    }
}

impl Step {
    fn only(taken: usize, text: usize) -> Self {
        Self {
            taken,
            text,
            line_ended: false,
            cut: Cut::Not,
        }
    }
}
