//! Heads that two parsers could read in two ways.

/// Refuses a head before hyper parses it, where another parser on the way may have seen another request in it: a line
/// that ends in a bare LF or holds a bare CR, a folded line, or `content-length` beside `transfer-encoding`.
///
/// It sees the head that opens a read; a head that was pipelined behind a body is hyper's alone to judge.
#[derive(Debug, Default)]
pub(super) struct HeadScan {
    over: bool,
    after_cr: bool,
    /// The line's bytes so far, of which only as many are kept as the names below need.
    line: usize,
    name: [u8; NAME],
    first_line: bool,
    length: bool,
    encoding: bool,
    /// The read before ended in a CR: the head may have begun there, pipelined.
    lf_first: bool,
}

const LENGTH: &[u8] = b"content-length:";
const ENCODING: &[u8] = b"transfer-encoding:";
const NAME: usize = ENCODING.len();

impl HeadScan {
    /// A scan of the bytes that come after `last`.
    pub(super) fn following(last: Option<u8>) -> Self {
        Self {
            lf_first: last == Some(b'\r'),
            ..Self::default()
        }
    }

    /// No scan at all.
    pub(super) fn off() -> Self {
        Self {
            over: true,
            ..Self::default()
        }
    }

    /// Takes the next bytes of a head; `false` where it must be refused.
    pub(super) fn accepts(&mut self, bytes: &[u8]) -> bool {
        for byte in bytes {
            if self.over {
                return true;
            }
            if !self.accepts_byte(*byte) {
                return false;
            }
        }
        true
    }

    fn accepts_byte(&mut self, byte: u8) -> bool {
        if std::mem::take(&mut self.lf_first) && byte == b'\n' {
            return true;
        }
        match (self.after_cr, byte) {
            (false, b'\r') => self.after_cr = true,
            (true, b'\n') => {
                self.after_cr = false;
                return self.line_ended();
            }
            (true, _) | (false, b'\n') => return false,
            (false, _) => {
                if self.line == 0 && self.first_line && matches!(byte, b' ' | b'\t') {
                    return false;
                }
                if let Some(place) = self.name.get_mut(self.line) {
                    *place = byte.to_ascii_lowercase();
                }
                self.line += 1;
            }
        }
        true
    }

    fn line_ended(&mut self) -> bool {
        let name = &self.name[..self.line.min(NAME)];
        self.length |= name.starts_with(LENGTH);
        self.encoding |= name.starts_with(ENCODING);
        // Empty lines before the first one are allowed; the one after the headers ends the head.
        self.over = self.line == 0 && self.first_line;
        self.first_line |= self.line > 0;
        self.line = 0;
        !(self.length && self.encoding)
    }
}

#[cfg(test)]
mod tests {
    use super::HeadScan;

    fn check(head: &str, accepted: bool) {
        assert_eq!(HeadScan::default().accepts(head.as_bytes()), accepted, "{head:?}");
        let mut scan = HeadScan::default();
        let bytewise = head.bytes().all(|byte| scan.accepts(&[byte]));
        assert_eq!(bytewise, accepted, "{head:?}, byte by byte");
    }

    #[test]
    fn refuses_what_two_parsers_read_differently() {
        check("GET / HTTP/1.1\r\nhost: x\r\n\r\n", true);
        check("\r\nGET / HTTP/1.1\r\nhost: x\r\n\r\n", true);
        check("POST / HTTP/1.1\r\ncontent-length: 3\r\n\r\na\nb", true);
        check(
            "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
            true,
        );
        check("GET / HTTP/1.1\nhost: x\n\n", false);
        check("GET / HTTP/1.1\r\nhost: x\n\r\n", false);
        check("GET / HTTP/1.1\r\nhost: x\ry: z\r\n\r\n", false);
        check("GET / HTTP/1.1\r\nx: 1\r\n folded\r\n\r\n", false);
        check(
            "POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
            false,
        );
        check(
            "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\ncontent-length: 3\r\n\r\n",
            false,
        );
    }
}
