//! How fast a text came.

use std::time::Duration;

/// Fewer tokens than this say nothing about speed: one pause decides.
const TO_TELL_SPEED: u64 = 8;
/// What comes within less than this came at once.
pub(super) const AT_ONCE: Duration = Duration::from_millis(1);
/// Who was waited for as long as this has shown how fast he is, however little came of it.
const A_LONG_WAIT: Duration = Duration::from_secs(10);

/// How much text came, and when: the one rule by which a reply's speed is told, a probe's and a user's alike.
///
/// Tokens are estimated at four bytes each: nobody asks whoever answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    text_bytes: u64,
    chunks: u32,
    first_content: Duration,
    rest: Duration,
}

impl Pace {
    /// So many bytes of text in so many chunks, the first after `first_content`, and the others within `rest` after it.
    #[must_use]
    pub fn new(text_bytes: u64, chunks: u32, first_content: Duration, rest: Duration) -> Self {
        Self {
            text_bytes,
            chunks,
            first_content,
            rest,
        }
    }

    /// Tokens of the text.
    #[must_use]
    pub fn tokens(self) -> u64 {
        self.text_bytes.div_ceil(4)
    }

    /// Whether it came at once: in one chunk, or all within a millisecond.
    #[must_use]
    pub fn is_at_once(self) -> bool {
        self.chunks < 2 || self.rest <= AT_ONCE
    }

    /// Thousandths of a token a second of a reply that is whole, from its first content to its end; `None` where there are
    /// fewer than 8 tokens.
    ///
    /// Of one that came at once it is of the whole time: who holds a reply back until it is done is not faster for it.
    #[must_use]
    pub fn of_a_whole(self) -> Option<u64> {
        let time = if self.is_at_once() {
            self.first_content.saturating_add(self.rest)
        } else {
            self.rest
        };
        (self.tokens() >= TO_TELL_SPEED)
            .then(|| self.thousandths(time))
            .flatten()
    }

    /// The same of a reply that did not come to its end, as far as it came. With fewer than 8 tokens, or what came at once, it
    /// tells something only where they were waited for as long as ten seconds.
    #[must_use]
    pub fn of_a_part(self) -> Option<u64> {
        let flowed = self.tokens() >= TO_TELL_SPEED && !self.is_at_once();
        (flowed || self.rest >= A_LONG_WAIT)
            .then(|| self.thousandths(self.rest))
            .flatten()
    }

    /// Integers only, so that it is the same everywhere.
    fn thousandths(self, time: Duration) -> Option<u64> {
        let speed = (u128::from(self.tokens()) * 1_000_000_000).checked_div(time.as_micros())?;
        Some(u64::try_from(speed).unwrap_or(u64::MAX))
    }
}
