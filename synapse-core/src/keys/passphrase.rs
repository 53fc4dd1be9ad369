//! What unlocks a key, and where it comes from.

use std::{fmt, path::Path};

use zeroize::Zeroizing;

use super::files::{self, Links};
use crate::{Error, ErrorKind};

/// What unlocks a key: never empty, wiped when it is dropped, and never shown.
pub struct Passphrase(Zeroizing<String>);

impl Passphrase {
    /// The most bytes that a passphrase may have.
    pub const LONGEST: usize = 1024;

    /// A passphrase that is at hand.
    ///
    /// # Errors
    /// `empty_passphrase`, and `passphrase_too_long` beyond [`LONGEST`](Self::LONGEST) bytes.
    pub fn new(passphrase: impl Into<String>) -> Result<Self, Error> {
        let passphrase = Zeroizing::new(passphrase.into());
        if passphrase.is_empty() {
            return Err(Error::invalid("empty_passphrase", "the passphrase is empty"));
        }
        if passphrase.len() > Self::LONGEST {
            return Err(Error::invalid(
                "passphrase_too_long",
                format!(
                    "the passphrase has {} bytes, and {} are allowed",
                    passphrase.len(),
                    Self::LONGEST
                ),
            ));
        }
        Ok(Self(passphrase))
    }

    /// Reads the environment variable that the caller names.
    ///
    /// The environment stays readable in the process's memory and to its children, for as long as they run: prefer a
    /// file.
    ///
    /// # Errors
    /// `no_passphrase` where the variable is not set or is no text, and what [`new`](Self::new) refuses.
    pub fn from_env(variable: &str) -> Result<Self, Error> {
        let passphrase = std::env::var(variable).map_err(|error| {
            let why = match error {
                std::env::VarError::NotPresent => "is not set",
                // The error holds the value: it goes no further.
                std::env::VarError::NotUnicode(_) => "is no UTF-8",
            };
            Error::invalid(
                "no_passphrase",
                format!("the environment variable {variable:?} {why}"),
            )
        })?;
        Self::new(passphrase)
    }

    /// Reads a file that only its owner may read; one line end at its end is left out.
    ///
    /// # Errors
    /// `no_passphrase` where there is no such file or it is no text, `insecure_permissions` where others may read it, and
    /// what [`new`](Self::new) refuses.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let fault = |why: &str| {
            Error::invalid(
                "no_passphrase",
                format!("the passphrase file {} {why}", path.display()),
            )
        };
        // A secret that an orchestrator mounts is behind a link.
        let bytes =
            files::read(path, Self::LONGEST + 2, Links::Follow)?.ok_or_else(|| fault("does not exist"))?;
        let text = std::str::from_utf8(&bytes).map_err(|_| fault("is no UTF-8"))?;
        let line = text.strip_suffix('\n').unwrap_or(text);
        Self::new(line.strip_suffix('\r').unwrap_or(line))
    }

    /// Asks at the terminal, without an echo.
    ///
    /// # Errors
    /// `no_terminal` where there is none to ask at, and what [`new`](Self::new) refuses.
    pub fn prompt(question: &str) -> Result<Self, Error> {
        let answer = rpassword::prompt_password(question).map_err(|error| {
            Error::new(
                ErrorKind::Unavailable,
                "no_terminal",
                "there is no terminal to ask for the passphrase at",
            )
            .with_hint("name a passphrase file or an environment variable")
            .with_source(error)
        })?;
        Self::new(answer)
    }

    /// Asks for a new passphrase, twice.
    ///
    /// # Errors
    /// `passphrases_differ`, and those of [`prompt`](Self::prompt).
    pub fn prompt_new(question: &str) -> Result<Self, Error> {
        let first = Self::prompt(question)?;
        let again = Self::prompt("once more: ")?;
        if first.0 != again.0 {
            return Err(Error::invalid("passphrases_differ", "the two passphrases differ"));
        }
        Ok(first)
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase(…)")
    }
}
