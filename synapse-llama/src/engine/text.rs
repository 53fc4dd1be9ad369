//! From tokens' bytes to text that may be sent: whole characters only, and nothing that may yet be a stop text.

use std::collections::VecDeque;

use synapse_core::Token;

/// Text that is decided, and the tokens that it began in.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Released {
    pub(super) text: String,
    pub(super) tokens: Vec<Token>,
    /// Whether a stop text was reached: nothing may follow.
    pub(super) stopped: bool,
}

/// One reply's text as it grows.
///
/// Of several stop texts the one that *ends* first counts, so the result does not depend on how the text was cut into
/// tokens. A token is released once its first byte is; one that lies wholly in a stop text never is.
#[derive(Debug)]
pub(super) struct ReplyText {
    stops: Vec<String>,
    /// Bytes that came and weren't released.
    held: Vec<u8>,
    /// How many bytes were released.
    released: usize,
    /// Tokens that weren't released, each with the offset of its first byte in the reply.
    tokens: VecDeque<(usize, Token)>,
}

impl ReplyText {
    pub(super) fn new(stops: Vec<String>) -> Self {
        Self {
            stops,
            held: Vec::new(),
            released: 0,
            tokens: VecDeque::new(),
        }
    }

    /// Adds a token, whose text is `bytes`, and returns what is decided now.
    pub(super) fn push(&mut self, bytes: &[u8], token: Token) -> Released {
        self.tokens.push_back((self.released + self.held.len(), token));
        self.held.extend_from_slice(bytes);
        if let Some(start) = self.first_stop() {
            self.held.truncate(start);
            let mut last = self.release(start);
            last.stopped = true;
            self.tokens.clear();
            return last;
        }
        let undecided = self.stop_begins_at().min(self.incomplete_begins_at());
        self.release(undecided)
    }

    /// Releases all that is held: the reply is over. A character that never became whole is one U+FFFD.
    pub(super) fn finish(&mut self) -> Released {
        let mut last = self.release(self.held.len());
        last.tokens.extend(self.tokens.drain(..).map(|(_, token)| token));
        last
    }

    fn release(&mut self, bytes: usize) -> Released {
        let text: Vec<u8> = self.held.drain(..bytes).collect();
        self.released += bytes;
        let mut tokens = Vec::new();
        while let Some((_, token)) = self.tokens.pop_front_if(|(start, _)| *start < self.released) {
            tokens.push(token);
        }
        let text = String::from_utf8_lossy(&text).into_owned();
        Released {
            text,
            tokens,
            stopped: false,
        }
    }

    /// Where the stop text that ends first begins in what is held.
    fn first_stop(&self) -> Option<usize> {
        let found = self.stops.iter().filter_map(|stop| {
            let start = self
                .held
                .windows(stop.len())
                .position(|window| window == stop.as_bytes())?;
            Some((start + stop.len(), start))
        });
        found.min().map(|(_end, start)| start)
    }

    /// Where the longest tail begins that may grow into a stop text.
    fn stop_begins_at(&self) -> usize {
        (0..self.held.len())
            .find(|&start| {
                let tail = self.held.get(start..).unwrap_or_default();
                self.stops.iter().any(|stop| stop.as_bytes().starts_with(tail))
            })
            .unwrap_or(self.held.len())
    }

    /// Where a character begins that lacks its last bytes.
    fn incomplete_begins_at(&self) -> usize {
        let mut from = 0;
        loop {
            match std::str::from_utf8(self.held.get(from..).unwrap_or_default()) {
                Ok(_) => return self.held.len(),
                Err(error) => match error.error_len() {
                    None => return from + error.valid_up_to(),
                    Some(invalid) => from += error.valid_up_to() + invalid,
                },
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn token(id: usize) -> Token {
        Token::new(u32::try_from(id).ok(), Vec::new())
    }

    /// Feeds the pieces; returns the text, whether it stopped, and the ids released.
    fn feed(stops: &[&str], pieces: &[&[u8]]) -> (String, bool, Vec<u32>) {
        let mut reply = ReplyText::new(stops.iter().map(|&stop| stop.to_owned()).collect());
        let (mut text, mut ids) = (String::new(), Vec::new());
        for (id, piece) in pieces.iter().enumerate() {
            let released = reply.push(piece, token(id));
            text.push_str(&released.text);
            ids.extend(released.tokens.iter().filter_map(|token| token.id));
            if released.stopped {
                return (text, true, ids);
            }
        }
        let released = reply.finish();
        ids.extend(released.tokens.iter().filter_map(|token| token.id));
        (text + &released.text, false, ids)
    }

    fn check(stops: &[&str], pieces: &[&str], text: &str, stopped: bool, ids: &[u32]) {
        let pieces: Vec<&[u8]> = pieces.iter().map(|piece| piece.as_bytes()).collect();
        assert_eq!(
            feed(stops, &pieces),
            (text.to_owned(), stopped, ids.to_vec()),
            "{stops:?} over {pieces:?}"
        );
    }

    #[test]
    fn stops_are_found_across_tokens_and_never_shown() {
        check(&["END"], &["one E", "N", "D two"], "one ", true, &[0]);
        check(
            &["END"],
            &["one E", "N", "T two"],
            "one ENT two",
            false,
            &[0, 1, 2],
        );
        check(&["END"], &["one EN"], "one EN", false, &[0]);
        check(&["\n\n"], &["a\n", "b\n", "\n", "c"], "a\nb", true, &[0, 1]);
        check(&["aab"], &["a", "a", "a", "b"], "a", true, &[0]);
        check(&["stop"], &["stop"], "", true, &[]);
        check(&["abcd", "bc"], &["abcd"], "a", true, &[0]);
        check(&["abcd", "bc"], &["abc", "d"], "a", true, &[0]);
        check(&[], &["x", "", "y"], "xy", false, &[0, 1, 2]);
    }

    #[test]
    fn characters_come_whole() {
        let snow = "☃".as_bytes();
        let (text, _, ids) = feed(&[], &[&snow[..1], &snow[1..2], &snow[2..], b"!"]);
        assert_eq!((text.as_str(), ids), ("☃!", vec![0, 1, 2, 3]));
        assert_eq!(feed(&[], &[&snow[..2]]).0, "\u{FFFD}");
        assert_eq!(feed(&[], &[b"a\xFF", b"b"]).0, "a\u{FFFD}b");
    }

    proptest! {
        /// However a text is cut into tokens, what is sent is the text up to the first stop.
        #[test]
        fn the_cut_does_not_matter(
            text in "[ab☃é]{0,24}",
            stops in proptest::collection::vec("[ab☃é]{1,4}", 0..3),
            cuts in proptest::collection::vec(0_usize..64, 0..12),
        ) {
            let stops: Vec<&str> = stops.iter().map(String::as_str).collect();
            let whole = feed(&stops, &[text.as_bytes()]);
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|pair| &text.as_bytes()[pair[0]..pair[1]]).collect();
            let cut = feed(&stops, &pieces);
            prop_assert_eq!((&cut.0, cut.1), (&whole.0, whole.1));
            prop_assert!(stops.iter().all(|stop| !cut.0.contains(stop)));
            prop_assert!(text.starts_with(&cut.0));
        }

        /// Any bytes at all: the same text as the standard library's replacement, however they are cut.
        #[test]
        fn invalid_bytes_are_replaced_as_the_standard_does(bytes in proptest::collection::vec(any::<u8>(), 0..32)) {
            let single: Vec<&[u8]> = bytes.chunks(1).collect();
            prop_assert_eq!(feed(&[], &single).0, String::from_utf8_lossy(&bytes).into_owned());
        }
    }
}
