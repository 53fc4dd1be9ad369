//! Where a text may be cut, and what suits which part of it.
//!
//! Both vocabularies split a text into pieces by a pattern before they look for tokens, and no token spans two pieces. A
//! piece is letters with one sign before them and an ending such as `'ll` after them, or up to three digits, or signs with
//! a space before them and line ends after them, or whitespace. So a piece always ends
//!
//! - before whitespace that follows a letter or a digit,
//! - before a space or a tab that follows a sign (line ends would belong to it),
//! - between a letter and a digit, and between a sign and a digit,
//! - after a digit before a sign, and after a letter before any sign but `'`.
//!
//! Whether what stands before such a place ends there never depends on what follows, since a pattern looks ahead from
//! whitespace alone; so both sides have the tokens of the whole between them. Beyond ASCII two places are known: before a
//! space that follows no whitespace, and between an ideograph, kana or Hangul syllable and such a script's own sign.

/// Pieces that are longer than this are hard; what stands between two cuts of less distance is not.
const WINDOW: usize = 128;
/// The longest plain part.
const PLAIN_BYTES: usize = 16 * 1024;

/// A part of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part<'a> {
    /// Short pieces of common characters.
    Plain(&'a str),
    /// Anything else.
    Hard(&'a str),
}

/// The parts of a text, in order.
pub(super) fn parts(text: &str) -> impl Iterator<Item = Part<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let part = next(rest)?;
        let (Part::Plain(text) | Part::Hard(text)) = part;
        rest = &rest[text.len()..];
        Some(part)
    })
}

/// The last place at which a text may be cut.
pub(super) fn last_cut(text: &str) -> Option<usize> {
    cut_within(text, 0, text.len().saturating_sub(1))
}

fn next(text: &str) -> Option<Part<'_>> {
    let mut plain = 0;
    while plain < PLAIN_BYTES {
        match window(text, plain) {
            Some(end) if is_common(&text.as_bytes()[plain..end]) => plain = end,
            _ => break,
        }
    }
    if plain > 0 {
        return Some(Part::Plain(&text[..plain]));
    }
    let mut hard = 0;
    while hard < text.len() {
        match window(text, hard) {
            Some(end) if is_common(&text.as_bytes()[hard..end]) => break,
            Some(end) => hard = end,
            None => hard = cut_after(text, hard + WINDOW),
        }
    }
    (hard > 0).then(|| Part::Hard(&text[..hard]))
}

/// Where the next window ends; `None` at the end, and where there is no cut in it.
fn window(text: &str, start: usize) -> Option<usize> {
    let left = text.len() - start;
    if left <= WINDOW {
        return (left > 0).then_some(text.len());
    }
    cut_within(text, start, start + WINDOW)
}

/// The last cut after `start`, at most at `end`, which is before the text's.
fn cut_within(text: &str, start: usize, end: usize) -> Option<usize> {
    (start + 1..=end).rev().find(|&at| is_cut(text, at))
}

/// The first cut after `start`, or the end.
fn cut_after(text: &str, start: usize) -> usize {
    (start + 1..text.len())
        .find(|&at| is_cut(text, at))
        .unwrap_or(text.len())
}

/// Whether a text may be cut here, neither at its beginning nor at its end.
fn is_cut(text: &str, at: usize) -> bool {
    use Class::{Beyond, Digit, Letter, Sign, Whitespace};
    let (before, after) = (text.as_bytes()[at - 1], text.as_bytes()[at]);
    match (class(before), class(after)) {
        (Letter | Digit, Whitespace) | (Letter | Sign, Digit) | (Digit, Letter | Sign) => true,
        (Sign, Whitespace) => !matches!(after, b'\r' | b'\n'),
        (Letter, Sign) => after != b'\'',
        (Beyond, Whitespace) if after == b' ' => last_of(text, at).is_some_and(|last| !last.is_whitespace()),
        // How the signs begin in UTF-8.
        (Beyond, Beyond) if matches!(after, 0xe3 | 0xef) => {
            text[at..].starts_with(['、', '。', '！', '，', '：', '；', '？'])
                && last_of(text, at).is_some_and(is_caseless)
        }
        _ => false,
    }
}

fn last_of(text: &str, end: usize) -> Option<char> {
    text[..end].chars().next_back()
}

/// Letters of scripts without cases: ideographs, hiragana, katakana and Hangul syllables.
fn is_caseless(char: char) -> bool {
    matches!(char, '\u{3041}'..='\u{3096}' | '\u{30a1}'..='\u{30fa}' | '\u{4e00}'..='\u{9fef}' | '\u{ac00}'..='\u{d7a3}')
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Letter,
    Digit,
    Sign,
    Whitespace,
    /// Of a character beyond ASCII.
    Beyond,
}

fn class(byte: u8) -> Class {
    match byte {
        b'a'..=b'z' | b'A'..=b'Z' => Class::Letter,
        b'0'..=b'9' => Class::Digit,
        b'\t'..=b'\r' | b' ' => Class::Whitespace,
        0x80.. => Class::Beyond,
        _ => Class::Sign,
    }
}

/// Whether all characters are ASCII, Latin letters with accents, or quotes, dashes and the like: those for which the quick
/// crate needs no pattern, or one that stays small. No whitespace beyond ASCII is among them, after which it reads all that follows.
fn is_common(bytes: &[u8]) -> bool {
    if bytes.is_ascii() {
        return true;
    }
    let mut rest = bytes;
    while let Some(&first) = rest.first() {
        let length = match (first, rest.get(1), rest.get(2)) {
            (..0x80, ..) => 1,
            (0xc2, Some(0xa1..), _) | (0xc3..=0xc8, ..) => 2,
            // U+2010 to U+2027, and U+2030 to U+203E.
            (0xe2, Some(0x80), Some(0x90..=0xa7 | 0xb0..=0xbe)) => 3,
            _ => return false,
        };
        rest = &rest[length..];
    }
    true
}
