//! Texts that somebody reads on a screen.

use synapse_core::{Error, is_plain};

use super::error;

/// # Errors
/// `ledger_text_odd`.
pub(super) fn check(text: &str, what: &'static str) -> Result<(), Error> {
    match text.chars().find(|letter| !is_plain(*letter)) {
        Some(letter) => Err(error::odd_text(what, letter)),
        None => Ok(()),
    }
}
