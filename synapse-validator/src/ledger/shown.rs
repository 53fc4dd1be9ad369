//! Texts that somebody reads on a screen.

use synapse_core::Error;

use super::error;

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

/// # Errors
/// `ledger_text_odd`.
pub(super) fn check(text: &str, what: &'static str) -> Result<(), Error> {
    match text.chars().find(|letter| !is_plain(*letter)) {
        Some(letter) => Err(error::odd_text(what, letter)),
        None => Ok(()),
    }
}
