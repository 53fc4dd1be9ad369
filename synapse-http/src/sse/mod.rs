//! Bytes into events: server-sent events, and documents a line each.
//!
//! A [`Framer`] takes reads as they come and hands out complete events with their terminators, byte for byte. An event that
//! lies within one read is not copied. Every byte is looked at once, however the stream is split, so a server that sends a
//! huge line byte by byte costs no more than one that sends it at once.

mod blocks;
mod lines;

use bytes::{Buf, Bytes, BytesMut};
use synapse_core::{Error, Framing};

use self::{blocks::Blocks, lines::Lines};

/// How long a line, and an event, may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// The longest line, in bytes without its end. 1 MiB unless set.
    pub line: usize,
    /// The longest event, in bytes with its terminator. 1 MiB unless set.
    pub event: usize,
}

impl Limits {
    /// Lines of at most so many bytes.
    #[must_use]
    pub fn with_line(self, bytes: usize) -> Self {
        Self { line: bytes, ..self }
    }

    /// Events of at most so many bytes.
    #[must_use]
    pub fn with_event(self, bytes: usize) -> Self {
        Self { event: bytes, ..self }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            line: 1 << 20,
            event: 1 << 20,
        }
    }
}

/// Cuts reads into events.
///
/// ```
/// use synapse_core::Framing;
/// use synapse_http::sse::{Framer, Limits};
///
/// let mut framer = Framer::new(Framing::Sse, Limits::default());
/// framer.push("data: 1\n\ndata: ".into());
/// assert_eq!(framer.next().unwrap()?, "data: 1\n\n");
/// assert!(framer.next().is_none());
/// framer.push("2\n\n".into());
/// assert_eq!(framer.next().unwrap()?, "data: 2\n\n");
/// # Ok::<(), synapse_core::Error>(())
/// ```
#[derive(Debug)]
pub struct Framer {
    /// The last read.
    read: Bytes,
    /// How much of it was looked at.
    seen: usize,
    /// The event under way, as far as earlier reads had it.
    carried: BytesMut,
    cutter: Cutter,
    limits: Limits,
    /// Bytes of the line under way, its end left out.
    line: usize,
    /// Whether an event was cut already: only the first may begin with a byte order mark.
    begun: bool,
}

/// What is left when a stream ends.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Rest {
    /// Nothing.
    Nothing,
    /// A complete event, whose end only the end of the stream could show.
    Complete(Bytes),
    /// An event without its terminator.
    Unterminated(Bytes),
}

#[derive(Debug)]
enum Cutter {
    Blocks(Blocks),
    Lines(Lines),
    None,
}

/// What a line's end, or the byte after it, means.
enum Cut {
    /// The event goes on.
    Not,
    /// The event ends here.
    Event,
    /// What came so far is no event: a blank line between two.
    Stray,
}

impl Framer {
    /// A framer of `framing`. Without framing every read is an event, and a whole reply never is one.
    #[must_use]
    pub fn new(framing: Framing, limits: Limits) -> Self {
        Self {
            read: Bytes::new(),
            seen: 0,
            carried: BytesMut::new(),
            cutter: match framing {
                Framing::Sse => Cutter::Blocks(Blocks::default()),
                Framing::Lines => Cutter::Lines(Lines),
                _ => Cutter::None,
            },
            limits,
            line: 0,
            begun: false,
        }
    }

    /// Takes one read. [`next`](Self::next) must have returned `None` before.
    pub fn push(&mut self, read: Bytes) {
        debug_assert!(
            self.read.is_empty(),
            "events of the read before are still to be taken"
        );
        self.read = read;
        self.seen = 0;
    }

    /// The next complete event with its terminator; `None` until more is [pushed](Self::push).
    ///
    /// # Errors
    /// [`Broken`](synapse_core::ErrorKind::Broken) with the code `event_too_large` where a line or an event is longer than
    /// allowed; the framer is of no use after it.
    #[expect(clippy::should_implement_trait, reason = "after None there may be more")]
    pub fn next(&mut self) -> Option<Result<Bytes, Error>> {
        loop {
            let before = self.seen;
            let step = match &mut self.cutter {
                Cutter::Blocks(blocks) => blocks.step(&self.read[self.seen..], self.line),
                Cutter::Lines(lines) => lines.step(&self.read[self.seen..], self.line),
                Cutter::None => {
                    let read = std::mem::take(&mut self.read);
                    return (!read.is_empty()).then_some(Ok(read));
                }
            };
            self.seen += step.taken;
            self.line += step.text;
            if self.line > self.limits.line {
                return Some(Err(self.too_large("a line", self.limits.line)));
            }
            if step.line_ended {
                self.line = 0;
            }
            match step.cut {
                Cut::Event => return Some(self.cut()),
                Cut::Stray => {
                    self.carried.clear();
                    self.read.advance(self.seen);
                    self.seen = 0;
                }
                Cut::Not if self.carried.len() + self.seen > self.limits.event => {
                    return Some(Err(self.too_large("an event", self.limits.event)));
                }
                Cut::Not if self.seen == self.read.len() => {
                    self.carried.extend_from_slice(&self.read);
                    self.read.clear();
                    self.seen = 0;
                    return None;
                }
                Cut::Not => debug_assert!(self.seen > before || step.line_ended, "each step takes something"),
            }
        }
    }

    /// What is left once the stream ended; the framer is of no use after it.
    #[must_use]
    pub fn finish(&mut self) -> Rest {
        match &self.cutter {
            Cutter::Blocks(blocks) => match blocks.at_end() {
                Cut::Event => match self.cut() {
                    Ok(event) => Rest::Complete(event),
                    Err(_) => Rest::Nothing,
                },
                Cut::Stray => Rest::Nothing,
                Cut::Not => self.unterminated(),
            },
            _ => self.unterminated(),
        }
    }

    fn unterminated(&mut self) -> Rest {
        if self.carried.is_empty() {
            return Rest::Nothing;
        }
        Rest::Unterminated(self.carried.split().freeze())
    }

    /// Cuts what was seen off the read, with what earlier reads had of it.
    fn cut(&mut self) -> Result<Bytes, Error> {
        let here = self.read.split_to(self.seen);
        self.seen = 0;
        let mut event = if self.carried.is_empty() {
            here
        } else {
            self.carried.extend_from_slice(&here);
            self.carried.split().freeze()
        };
        if event.len() > self.limits.event {
            return Err(self.too_large("an event", self.limits.event));
        }
        if !std::mem::replace(&mut self.begun, true) && event.starts_with(b"\xef\xbb\xbf") {
            event.advance(3);
        }
        Ok(event)
    }

    fn too_large(&self, what: &str, limit: usize) -> Error {
        Error::broken(
            "event_too_large",
            format!("{what} of the reply is longer than {limit} bytes"),
        )
    }
}

/// What a cutter found at the front of a read.
struct Step {
    /// How many bytes it looked at.
    taken: usize,
    /// How many of them belong to the line itself.
    text: usize,
    line_ended: bool,
    cut: Cut,
}
