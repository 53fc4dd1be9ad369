//! Texts that may be anybody's, where a person reads them.

/// Whether a character is shown as what it is: no control character, and none that is invisible or changes how its
/// neighbours are shown, such as those that turn the direction of a text. Joiners are, which scripts and emoji need.
#[must_use]
pub fn is_plain(letter: char) -> bool {
    let is_format = matches!(
        letter,
        '\u{ad}'
            | '\u{61c}'
            | '\u{180e}'
            | '\u{200b}'
            | '\u{200e}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}'
    );
    !letter.is_control() && !is_format
}

/// A text that changes nothing of the line that it is in: blanks for control characters, and U+FFFD for all else that is
/// not [plain](is_plain).
///
/// ```
/// assert_eq!(synapse_core::plain("one\n\u{202e}two"), "one \u{fffd}two");
/// ```
#[must_use]
pub fn plain(text: &str) -> String {
    let shown = |letter: char| match letter {
        _ if is_plain(letter) => letter,
        _ if letter.is_control() => ' ',
        _ => '\u{fffd}',
    };
    text.chars().map(shown).collect()
}
