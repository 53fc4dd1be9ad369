//! Heads that two parsers could read in two ways.

/// Refuses a head where another parser on the way may have seen another request in it: a line that ends in a bare LF or
/// holds a bare CR, a folded line, `content-length` beside `transfer-encoding`, or two lengths that differ.
#[derive(Debug)]
pub(super) struct HeadScan {
    after_cr: bool,
    /// The line's length so far, and as much of its beginning as the headers below need.
    line: usize,
    kept: [u8; KEPT],
    first_line: bool,
    length: Option<u64>,
    chunked: bool,
}

/// What a byte of a head says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    More,
    Refused,
    /// The head is complete, and this follows it.
    Body(BodyLength),
}

/// How the end of a request's body is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BodyLength {
    Bytes(u64),
    Chunked,
}

const LENGTH: &[u8] = b"content-length:";
const ENCODING: &[u8] = b"transfer-encoding:";
const KEPT: usize = 64;

impl Default for HeadScan {
    fn default() -> Self {
        Self {
            after_cr: false,
            line: 0,
            kept: [0; KEPT],
            first_line: false,
            length: None,
            chunked: false,
        }
    }
}

impl HeadScan {
    pub(super) fn take(&mut self, byte: u8) -> Step {
        match (self.after_cr, byte) {
            (false, b'\r') => self.after_cr = true,
            (true, b'\n') => {
                self.after_cr = false;
                return self.line_ended();
            }
            (true, _) | (false, b'\n') => return Step::Refused,
            (false, _) => {
                if self.line == 0 && self.first_line && matches!(byte, b' ' | b'\t') {
                    return Step::Refused;
                }
                if let Some(place) = self.kept.get_mut(self.line) {
                    *place = byte.to_ascii_lowercase();
                }
                self.line += 1;
            }
        }
        Step::More
    }

    fn line_ended(&mut self) -> Step {
        // Empty lines before the first one are allowed; the one after the headers ends the head.
        if self.line == 0 && self.first_line {
            return Step::Body(match self.chunked {
                true => BodyLength::Chunked,
                false => BodyLength::Bytes(self.length.unwrap_or(0)),
            });
        }
        let kept = &self.kept[..self.line.min(KEPT)];
        if let Some(value) = kept.strip_prefix(LENGTH) {
            let given = (self.line <= KEPT).then(|| number(value)).flatten();
            if given.is_none() || self.length.is_some_and(|length| Some(length) != given) {
                return Step::Refused;
            }
            self.length = given;
        }
        self.chunked |= kept.starts_with(ENCODING);
        self.first_line |= self.line > 0;
        self.line = 0;
        if self.chunked && self.length.is_some() {
            return Step::Refused;
        }
        Step::More
    }
}

/// Digits and nothing else: what parsers make of a sign or a list differs.
fn number(value: &[u8]) -> Option<u64> {
    let digits = value.trim_ascii();
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}
