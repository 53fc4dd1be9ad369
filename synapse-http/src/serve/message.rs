//! Where requests begin and end on a connection, as its bytes come in.

use super::head::{BodyLength, HeadScan, Step};

/// Follows a connection's requests, so that every head is [looked at](HeadScan) before hyper parses it: one that was
/// pipelined behind another request, one that is cut in two by a read, and one behind a body that nobody read.
///
/// It finds the end of a body where hyper does. Of chunks it takes what RFC 9112 allows, and refuses the rest.
#[derive(Debug)]
pub(super) struct MessageScan(Part);

#[derive(Debug)]
enum Part {
    Head(HeadScan),
    /// So many bytes of a body, and the next head.
    Bytes(u64),
    Chunks(Chunk),
}

#[derive(Debug, Clone, Copy)]
enum Chunk {
    /// Its size so far, and how many digits that has.
    Size(u64, u8),
    /// What follows the size on its line.
    Extension(u64),
    SizeLf(u64),
    Data(u64),
    DataLf,
    /// Within the trailers; whether the line is empty so far.
    Trailer(bool),
    TrailerLf(bool),
}

/// More digits than 64 bits have.
const DIGITS: u8 = 16;

impl Default for MessageScan {
    fn default() -> Self {
        Self(Part::Head(HeadScan::default()))
    }
}

impl MessageScan {
    /// Takes what came in; `false` where it must be refused.
    pub(super) fn accepts(&mut self, mut bytes: &[u8]) -> bool {
        while let Some((&byte, rest)) = bytes.split_first() {
            match &mut self.0 {
                Part::Bytes(left) | Part::Chunks(Chunk::Data(left)) if *left > 0 => {
                    let skipped = usize::try_from(*left).map_or(bytes.len(), |left| left.min(bytes.len()));
                    *left -= skipped as u64;
                    bytes = &bytes[skipped..];
                    continue;
                }
                Part::Bytes(_) => {
                    self.0 = Part::Head(HeadScan::default());
                    continue;
                }
                Part::Head(head) => match head.take(byte) {
                    Step::More => {}
                    Step::Refused => return false,
                    Step::Body(BodyLength::Bytes(length)) => self.0 = Part::Bytes(length),
                    Step::Body(BodyLength::Chunked) => self.0 = Part::Chunks(Chunk::Size(0, 0)),
                },
                Part::Chunks(chunk) => match chunk.after(byte) {
                    Some(Some(next)) => *chunk = next,
                    Some(None) => self.0 = Part::Bytes(0),
                    None => return false,
                },
            }
            bytes = rest;
        }
        true
    }
}

impl Chunk {
    /// What comes after `byte`: `None` where it is not allowed, `Some(None)` where it ends the body.
    fn after(self, byte: u8) -> Option<Option<Self>> {
        Some(Some(match (self, byte) {
            (Self::Size(size, digits), b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') if digits < DIGITS => {
                let digit = char::from(byte).to_digit(16)?;
                Self::Size(size << 4 | u64::from(digit), digits + 1)
            }
            (Self::Size(_, 0), _) => return None,
            (Self::Size(size, _) | Self::Extension(size), b'\r') => Self::SizeLf(size),
            (Self::Size(size, _), b' ' | b'\t' | b';') => Self::Extension(size),
            (Self::Extension(size), byte) if byte != b'\n' => Self::Extension(size),
            (Self::SizeLf(0), b'\n') => Self::Trailer(true),
            (Self::SizeLf(size), b'\n') => Self::Data(size),
            // All of the data was skipped before.
            (Self::Data(_), b'\r') => Self::DataLf,
            (Self::DataLf, b'\n') => Self::Size(0, 0),
            (Self::Trailer(empty), b'\r') => Self::TrailerLf(empty),
            (Self::Trailer(_), byte) if byte != b'\n' => Self::Trailer(false),
            (Self::TrailerLf(true), b'\n') => return Some(None),
            (Self::TrailerLf(false), b'\n') => Self::Trailer(true),
            _ => return None,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::MessageScan;

    /// In one read, byte by byte, and behind another request.
    fn check(requests: &str, accepted: bool) {
        let taken = MessageScan::default().accepts(requests.as_bytes());
        assert_eq!(taken, accepted, "{requests:?}");
        let mut scan = MessageScan::default();
        let bytewise = requests.bytes().all(|byte| scan.accepts(&[byte]));
        assert_eq!(bytewise, accepted, "{requests:?}, byte by byte");
        for first in [
            "GET / HTTP/1.1\r\nhost: x\r\n\r\n",
            "POST / HTTP/1.1\r\ncontent-length: 3\r\n\r\na\nb",
            "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n3;x=y\r\n\n\n\n\r\n0\r\nx: y\r\n\r\n",
        ] {
            let both = format!("{first}{requests}");
            let taken = MessageScan::default().accepts(both.as_bytes());
            assert_eq!(taken, accepted, "{both:?}");
        }
    }

    #[test]
    fn refuses_what_two_parsers_read_differently() {
        check("GET / HTTP/1.1\r\nhost: x\r\n\r\n", true);
        check("\r\nGET / HTTP/1.1\r\nhost: x\r\n\r\n", true);
        check("POST / HTTP/1.1\r\ncontent-length: 3\r\n\r\na\nb", true);
        check(
            "POST / HTTP/1.1\r\ncontent-length: 3\r\nContent-Length: 3\r\n\r\na\nb",
            true,
        );
        check(
            "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
            true,
        );
        check("GET / HTTP/1.1\nhost: x\n\n", false);
        check("GET / HTTP/1.1\r\nhost: x\n\r\n", false);
        check("GET / HTTP/1.1\r\nhost: x\ry: z\r\n\r\n", false);
        check("GET / HTTP/1.1\r\nx: 1\r\n folded\r\n\r\n", false);
        for length in ["+3", "3, 3", "", "18446744073709551616"] {
            check(
                &format!("POST / HTTP/1.1\r\ncontent-length: {length}\r\n\r\n"),
                false,
            );
        }
        check(
            "POST / HTTP/1.1\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\n",
            false,
        );
        check(
            "POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
            false,
        );
        check(
            "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\ncontent-length: 3\r\n\r\n",
            false,
        );
    }

    #[test]
    fn chunks_are_as_the_specification_has_them() {
        let chunked = |body: &str| format!("POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n{body}");
        check(&chunked("A\r\n0123456789\r\n0\r\n\r\n"), true);
        for body in [
            "\r\n",
            "x\r\n",
            "1\na",
            "1\r\nab",
            "1;x\ny",
            "0\r\nx\n",
            "11111111111111111\r\n",
        ] {
            check(&chunked(body), false);
        }
    }
}
